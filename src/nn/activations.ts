// Activations and reshapings as modules, for Sequential.
import { positional } from '../ops/op.ts'
import type { Tensor } from '../tensor/tensor.ts'
import * as F from './functional.ts'
import { Module } from './module.ts'

abstract class Layer extends Module<[input: Tensor], Tensor> {}

/** Gives back what it is given. */
export class Identity extends Layer {
  forward(input: Tensor): Tensor {
    return input
  }
}

export class ReLU extends Layer {
  forward(input: Tensor): Tensor {
    return F.relu(input)
  }
}

/** x·Φ(x), or its approximation by tanh (Hendrycks and Gimpel 2016). */
export class GELU extends Layer {
  readonly approximate: 'none' | 'tanh'
  constructor(...given: [approximate?: 'none' | 'tanh'] | [{ approximate?: 'none' | 'tanh' }]) {
    super()
    const [approximate = 'none'] = positional('GELU', ['approximate'], given) as ['none']
    this.approximate = approximate
  }
  forward(input: Tensor): Tensor {
    return F.gelu(input, this.approximate)
  }
  override extra_repr(): string {
    return `approximate='${this.approximate}'`
  }
}

export class SiLU extends Layer {
  forward(input: Tensor): Tensor {
    return F.silu(input)
  }
}

export class Sigmoid extends Layer {
  forward(input: Tensor): Tensor {
    return F.sigmoid(input)
  }
}

export class Tanh extends Layer {
  forward(input: Tensor): Tensor {
    return F.tanh(input)
  }
}

/** Exponentials over a dimension, summing to 1. */
export class Softmax extends Layer {
  readonly dim: number
  constructor(...given: [dim: number] | [{ dim: number }]) {
    super()
    ;[this.dim] = positional('Softmax', ['dim'], given) as [number]
  }
  forward(input: Tensor): Tensor {
    return F.softmax(input, this.dim)
  }
  override extra_repr(): string {
    return `dim=${this.dim}`
  }
}

/** Logarithms of softmax. */
export class LogSoftmax extends Softmax {
  override forward(input: Tensor): Tensor {
    return F.log_softmax(input, this.dim)
  }
}

/** Dimensions start_dim to end_dim merged into one; by default all but the batch. */
export class Flatten extends Layer {
  readonly start_dim: number
  readonly end_dim: number
  constructor(...given: [start_dim?: number, end_dim?: number] | [{ start_dim?: number; end_dim?: number }]) {
    super()
    const [start_dim = 1, end_dim = -1] = positional('Flatten', ['start_dim', 'end_dim'], given) as number[]
    this.start_dim = start_dim
    this.end_dim = end_dim
  }
  forward(input: Tensor): Tensor {
    return input.flatten(this.start_dim, this.end_dim)
  }
  override extra_repr(): string {
    return `start_dim=${this.start_dim}, end_dim=${this.end_dim}`
  }
}
