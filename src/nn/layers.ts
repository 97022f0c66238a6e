// The layers of torch.nn, with its names, defaults and initial values.
import * as F from './functional.ts'
import { positional } from '../ops/op.ts'
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

/** A tuple as Python prints it. */
const tuple = (sizes: Shape) => `(${sizes.join(', ')}${sizes.length === 1 ? ',' : ''})`
/** Whether something is there, as Python prints it. */
const pythonBool = (x: unknown) => (x ? 'True' : 'False')
/** A number as Python prints it: its exponents have two digits at least. */
const pythonFloat = (x: number) => (x < 1e-4 ? x.toExponential() : String(x)).replace(/e-(\d)$/, 'e-0$1')

/** float32's, which torch's RMSNorm takes for no eps. */
const EPSILON = 2 ** -23

/** y = x Wᵀ + b, weight [out_features, in_features] (torch.nn.Linear). */
export class Linear extends Module<[input: Tensor], Tensor> {
  weight: Parameter
  bias: Parameter | null

  constructor(
    readonly in_features: number,
    readonly out_features: number,
    ...given: [bias?: boolean] | [{ bias?: boolean }]
  ) {
    super()
    const [withBias = true] = positional('Linear', ['bias'], given) as [boolean?]
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
    return `in_features=${this.in_features}, out_features=${this.out_features}, bias=${pythonBool(this.bias)}`
  }
}

/** Rows of a table by index, weight [num_embeddings, embedding_dim] (torch.nn.Embedding). */
export class Embedding extends Module<[input: Tensor], Tensor> {
  weight: Parameter
  readonly padding_idx: number | null

  constructor(
    readonly num_embeddings: number,
    readonly embedding_dim: number,
    ...given: [padding_idx?: number | null] | [{ padding_idx?: number | null }]
  ) {
    super()
    const [padding = null] = positional('Embedding', ['padding_idx'], given) as [(number | null)?]
    if (padding !== null && !(Number.isInteger(padding) && padding >= -num_embeddings && padding < num_embeddings))
      throw new RushlightError(`Embedding: padding_idx ${padding} is out of range for ${num_embeddings} embeddings`)
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

  constructor(
    normalized_shape: number | Shape,
    ...given:
      | [eps?: number, elementwise_affine?: boolean, bias?: boolean]
      | [{ eps?: number; elementwise_affine?: boolean; bias?: boolean }]
  ) {
    super()
    this.normalized_shape = typeof normalized_shape === 'number' ? [normalized_shape] : [...normalized_shape]
    const [eps = 1e-5, affine = true, bias = true] = positional(
      'LayerNorm',
      ['eps', 'elementwise_affine', 'bias'],
      given,
    ) as [number?, boolean?, boolean?]
    this.eps = eps
    this.weight = affine ? Parameter.lazy(this.normalized_shape, ones) : null
    this.bias = affine && bias ? Parameter.lazy(this.normalized_shape, zeros) : null
  }

  forward(input: Tensor): Tensor {
    return F.layer_norm(input, this.normalized_shape, this.weight, this.bias, this.eps)
  }

  override extra_repr(): string {
    return `${tuple(this.normalized_shape)}, eps=${pythonFloat(this.eps)}, elementwise_affine=${pythonBool(this.weight)}, bias=${pythonBool(this.bias)}`
  }
}

/** Divides by the root of the mean square over the last dimensions, then scales (torch.nn.RMSNorm; Zhang and Sennrich 2019). */
export class RMSNorm extends Module<[input: Tensor], Tensor> {
  weight: Parameter | null
  readonly normalized_shape: Shape
  readonly eps: number

  constructor(
    normalized_shape: number | Shape,
    ...given:
      | [eps?: number | null, elementwise_affine?: boolean]
      | [{ eps?: number | null; elementwise_affine?: boolean }]
  ) {
    super()
    this.normalized_shape = typeof normalized_shape === 'number' ? [normalized_shape] : [...normalized_shape]
    const [eps, affine = true] = positional('RMSNorm', ['eps', 'elementwise_affine'], given) as [
      (number | null)?,
      boolean?,
    ]
    this.eps = eps ?? EPSILON
    this.weight = affine ? Parameter.lazy(this.normalized_shape, ones) : null
  }

  forward(input: Tensor): Tensor {
    return F.rms_norm(input, this.normalized_shape, this.weight, this.eps)
  }

  override extra_repr(): string {
    return `${tuple(this.normalized_shape)}, eps=${this.eps === EPSILON ? 'None' : pythonFloat(this.eps)}, elementwise_affine=${pythonBool(this.weight)}`
  }
}

/** Zeroes elements with probability p in train mode and scales the rest by 1/(1-p) (torch.nn.Dropout). */
export class Dropout extends Module<[input: Tensor], Tensor> {
  readonly p: number
  constructor(...given: [p?: number] | [{ p?: number }]) {
    super()
    const [p = 0.5] = positional('Dropout', ['p'], given) as [number?]
    this.p = p
    if (!(p >= 0 && p <= 1)) throw new RushlightError(`Dropout: p must be from 0 to 1, found ${p}`)
  }

  forward(input: Tensor): Tensor {
    return F.dropout(input, this.p, this.training)
  }

  override extra_repr(): string {
    return `p=${this.p}, inplace=False`
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
/** The same in torch's order, or by name. */
type ConvArguments =
  | [
      stride?: ConvOptions['stride'],
      padding?: ConvOptions['padding'],
      dilation?: ConvOptions['dilation'],
      groups?: number,
      bias?: boolean,
    ]
  | [ConvOptions]

abstract class Conv extends Module<[input: Tensor], Tensor> {
  weight: Parameter
  bias: Parameter | null
  readonly options: Required<Omit<ConvOptions, 'bias'>>

  constructor(
    readonly in_channels: number,
    readonly out_channels: number,
    readonly kernel_size: number[],
    given: ConvArguments,
  ) {
    super()
    const options = positional('Conv', ['stride', 'padding', 'dilation', 'groups', 'bias'], given)
    const [stride = 1, padding = 0, dilation = 1, groups = 1, bias = true] = options as Exclude<
      ConvArguments,
      [ConvOptions]
    >
    if (in_channels % groups !== 0 || out_channels % groups !== 0)
      throw new ShapeError(
        `Conv: groups ${groups} must divide in_channels ${in_channels} and out_channels ${out_channels}`,
      )
    this.options = { stride, padding, dilation, groups }
    const fanIn = (in_channels / groups) * kernel_size.reduce((a, b) => a * b, 1)
    this.weight = Parameter.lazy([out_channels, in_channels / groups, ...kernel_size], withinFan(fanIn))
    this.bias = bias ? Parameter.lazy([out_channels], withinFan(fanIn)) : null
  }

  override extra_repr(): string {
    const { stride, padding, dilation, groups } = this.options
    const sizes = (given: number | number[]) =>
      tuple(this.kernel_size.map((_, d) => [given].flat()[d] ?? [given].flat()[0]))
    const parts = [
      `${this.in_channels}`,
      `${this.out_channels}`,
      `kernel_size=${tuple(this.kernel_size)}`,
      `stride=${sizes(stride)}`,
    ]
    const unusual = (given: number | number[], usual: number) => [given].flat().some((x) => x !== usual)
    if (typeof padding === 'string') parts.push(`padding=${padding}`)
    else if (unusual(padding, 0)) parts.push(`padding=${sizes(padding)}`)
    if (unusual(dilation, 1)) parts.push(`dilation=${sizes(dilation)}`)
    if (groups !== 1) parts.push(`groups=${groups}`)
    if (!this.bias) parts.push('bias=False')
    return parts.join(', ')
  }
}

/** Convolution over (N, C, L), weight [out, in/groups, kernel] (torch.nn.Conv1d). */
export class Conv1d extends Conv {
  constructor(in_channels: number, out_channels: number, kernel_size: number | [number], ...given: ConvArguments) {
    super(in_channels, out_channels, [kernel_size].flat(), given)
  }

  forward(input: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this.options
    return F.conv1d(input, this.weight, this.bias, stride, padding, dilation, groups)
  }
}

/** Convolution over (N, C, H, W), weight [out, in/groups, kH, kW] (torch.nn.Conv2d). */
export class Conv2d extends Conv {
  constructor(
    in_channels: number,
    out_channels: number,
    kernel_size: number | [number, number],
    ...given: ConvArguments
  ) {
    super(in_channels, out_channels, typeof kernel_size === 'number' ? [kernel_size, kernel_size] : kernel_size, given)
  }

  forward(input: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this.options
    return F.conv2d(input, this.weight, this.bias, stride, padding, dilation, groups)
  }
}
