// The layers of torch.nn, with its names, defaults and initial values.
import * as F from './functional.ts'
import type { Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError, ShapeError } from '../util/errors.ts'
import * as init from './init.ts'
import { Module } from './module.ts'
import { Parameter } from './parameter.ts'

const ones = (t: Tensor) => void init.ones_(t)
const zeros = (t: Tensor) => void init.zeros_(t)
/** Uniform within 1/√fan_in: what torch's Linear and Conv layers start from. */
const withinFan = (fanIn: number) => (t: Tensor) => {
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0
  init.uniform_(t, -bound, bound)
}

/** y = x Wᵀ + b, weight [out_features, in_features] (torch.nn.Linear). */
export class Linear extends Module<[input: Tensor], Tensor> {
  weight: Parameter
  bias: Parameter | null

  constructor(
    readonly in_features: number,
    readonly out_features: number,
    bias: boolean | { bias?: boolean } = true,
  ) {
    super()
    const withBias = typeof bias === 'boolean' ? bias : (bias.bias ?? true)
    this.weight = Parameter.lazy([out_features, in_features], withinFan(in_features))
    this.bias = withBias ? Parameter.lazy([out_features], withinFan(in_features)) : null
  }

  /** Takes over another module's weight, such as that of the embedding: one Parameter under two names. */
  tie(weight: Parameter): void {
    this.weight.dispose()
    this.weight = weight
  }

  forward(input: Tensor): Tensor {
    return F.linear(input, this.weight, this.bias)
  }

  override extra_repr(): string {
    return `in_features=${this.in_features}, out_features=${this.out_features}, bias=${this.bias ? 'True' : 'False'}`
  }
}

/** Rows of a table by index, weight [num_embeddings, embedding_dim] (torch.nn.Embedding). */
export class Embedding extends Module<[input: Tensor], Tensor> {
  weight: Parameter
  readonly padding_idx: number | null

  constructor(
    readonly num_embeddings: number,
    readonly embedding_dim: number,
    options: { padding_idx?: number | null } = {},
  ) {
    super()
    const padding = options.padding_idx ?? null
    this.padding_idx = padding !== null && padding < 0 ? padding + num_embeddings : padding
    this.weight = Parameter.lazy([num_embeddings, embedding_dim], (t) => {
      init.normal_(t)
      if (this.padding_idx !== null) t.select(0, this.padding_idx).fill_(0)
    })
  }

  forward(input: Tensor): Tensor {
    return F.embedding(input, this.weight, this.padding_idx)
  }

  override extra_repr(): string {
    return `${this.num_embeddings}, ${this.embedding_dim}${this.padding_idx === null ? '' : `, padding_idx=${this.padding_idx}`}`
  }
}

/** Normalizes over the last dimensions to mean 0 and variance 1, then scales and shifts (torch.nn.LayerNorm; Ba et al. 2016). */
export class LayerNorm extends Module<[input: Tensor], Tensor> {
  weight: Parameter | null
  bias: Parameter | null
  readonly normalized_shape: Shape
  readonly eps: number

  constructor(normalized_shape: number | Shape, options: { eps?: number; elementwise_affine?: boolean; bias?: boolean } = {}) {
    super()
    this.normalized_shape = typeof normalized_shape === 'number' ? [normalized_shape] : [...normalized_shape]
    this.eps = options.eps ?? 1e-5
    const affine = options.elementwise_affine ?? true
    this.weight = affine ? Parameter.lazy(this.normalized_shape, ones) : null
    this.bias = affine && (options.bias ?? true) ? Parameter.lazy(this.normalized_shape, zeros) : null
  }

  forward(input: Tensor): Tensor {
    return F.layer_norm(input, this.normalized_shape, this.weight, this.bias, this.eps)
  }

  override extra_repr(): string {
    return `(${this.normalized_shape.join(', ')}), eps=${this.eps}, elementwise_affine=${this.weight ? 'True' : 'False'}`
  }
}

/** Divides by the root of the mean square over the last dimensions, then scales (torch.nn.RMSNorm; Zhang and Sennrich 2019). */
export class RMSNorm extends Module<[input: Tensor], Tensor> {
  weight: Parameter | null
  readonly normalized_shape: Shape
  readonly eps: number

  constructor(normalized_shape: number | Shape, options: { eps?: number; elementwise_affine?: boolean } = {}) {
    super()
    this.normalized_shape = typeof normalized_shape === 'number' ? [normalized_shape] : [...normalized_shape]
    this.eps = options.eps ?? 2 ** -23 // float32's epsilon, as torch's default
    this.weight = (options.elementwise_affine ?? true) ? Parameter.lazy(this.normalized_shape, ones) : null
  }

  forward(input: Tensor): Tensor {
    return F.rms_norm(input, this.normalized_shape, this.weight, this.eps)
  }

  override extra_repr(): string {
    return `(${this.normalized_shape.join(', ')}), eps=${this.eps}, elementwise_affine=${this.weight ? 'True' : 'False'}`
  }
}

/** Zeroes elements with probability p in train mode and scales the rest by 1/(1-p) (torch.nn.Dropout). */
export class Dropout extends Module<[input: Tensor], Tensor> {
  constructor(readonly p = 0.5) {
    super()
    if (!(p >= 0 && p <= 1)) throw new RushlightError(`Dropout: p must be from 0 to 1, found ${p}`)
  }

  forward(input: Tensor): Tensor {
    return F.dropout(input, this.p, this.training)
  }

  override extra_repr(): string {
    return `p=${this.p}`
  }
}

/** Options of the convolutions, with torch's names. */
export interface ConvOptions {
  stride?: number | number[]
  padding?: number | number[] | 'same' | 'valid'
  dilation?: number | number[]
  groups?: number
  bias?: boolean
}

abstract class Conv extends Module<[input: Tensor], Tensor> {
  weight: Parameter
  bias: Parameter | null
  readonly options: Required<Omit<ConvOptions, 'bias'>>

  constructor(
    readonly in_channels: number,
    readonly out_channels: number,
    readonly kernel_size: number[],
    { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, ...rest }: ConvOptions = {},
  ) {
    super()
    const [unknown] = Object.keys(rest)
    if (unknown) throw new RushlightError(`Conv: unsupported option ${unknown}. Supported: stride, padding, dilation, groups, bias`)
    if (in_channels % groups !== 0 || out_channels % groups !== 0)
      throw new ShapeError(`Conv: groups ${groups} must divide in_channels ${in_channels} and out_channels ${out_channels}`)
    this.options = { stride, padding, dilation, groups }
    const fanIn = (in_channels / groups) * kernel_size.reduce((a, b) => a * b, 1)
    this.weight = Parameter.lazy([out_channels, in_channels / groups, ...kernel_size], withinFan(fanIn))
    this.bias = bias ? Parameter.lazy([out_channels], withinFan(fanIn)) : null
  }

  override extra_repr(): string {
    return `${this.in_channels}, ${this.out_channels}, kernel_size=(${this.kernel_size.join(', ')})`
  }
}

/** Convolution over (N, C, L), weight [out, in/groups, kernel] (torch.nn.Conv1d). */
export class Conv1d extends Conv {
  constructor(in_channels: number, out_channels: number, kernel_size: number | [number], options?: ConvOptions) {
    super(in_channels, out_channels, [kernel_size].flat(), options)
  }

  forward(input: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this.options
    return F.conv1d(input, this.weight, this.bias, stride, padding, dilation, groups)
  }
}

/** Convolution over (N, C, H, W), weight [out, in/groups, kH, kW] (torch.nn.Conv2d). */
export class Conv2d extends Conv {
  constructor(in_channels: number, out_channels: number, kernel_size: number | [number, number], options?: ConvOptions) {
    super(in_channels, out_channels, typeof kernel_size === 'number' ? [kernel_size, kernel_size] : kernel_size, options)
  }

  forward(input: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this.options
    return F.conv2d(input, this.weight, this.bias, stride, padding, dilation, groups)
  }
}
