// Initializers, as torch.nn.init: they fill a tensor in place, unrecorded.
import { no_grad } from '../tensor/autograd.ts'
import { numelOf } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ShapeError, unsupported } from '../util/errors.ts'

/** Uniform in [a, b). */
export function uniform_(tensor: Tensor, a = 0, b = 1): Tensor {
  return no_grad(() => tensor.uniform_(a, b))
}

/** Normal with that mean and standard deviation. */
export function normal_(tensor: Tensor, mean = 0, std = 1): Tensor {
  return no_grad(() => tensor.normal_(mean, std))
}

export function constant_(tensor: Tensor, value: number): Tensor {
  return no_grad(() => tensor.fill_(value))
}

export function zeros_(tensor: Tensor): Tensor {
  return constant_(tensor, 0)
}

export function ones_(tensor: Tensor): Tensor {
  return constant_(tensor, 1)
}

/** Inputs and outputs of one element of a layer with that weight: [out, in, …kernel]. */
function fans(tensor: Tensor): { fanIn: number; fanOut: number } {
  if (tensor.ndim < 2) throw new ShapeError(`init: a weight of at least two dimensions has fans, found ${tensor.ndim}`)
  const field = numelOf(tensor.shape.slice(2))
  return { fanIn: tensor.shape[1] * field, fanOut: tensor.shape[0] * field }
}

const GAINS: Readonly<Record<string, (param?: number) => number>> = {
  linear: () => 1,
  sigmoid: () => 1,
  tanh: () => 5 / 3,
  relu: () => Math.SQRT2,
  leaky_relu: (slope = 0.01) => Math.sqrt(2 / (1 + slope * slope)),
  selu: () => 3 / 4,
}

/** Recommended gain of a nonlinearity. */
export function calculate_gain(nonlinearity: string, param?: number): number {
  if (!Object.hasOwn(GAINS, nonlinearity))
    throw unsupported('calculate_gain', 'nonlinearity', nonlinearity, Object.keys(GAINS))
  return GAINS[nonlinearity](param)
}

/** Glorot and Bengio 2010, uniform. */
export function xavier_uniform_(tensor: Tensor, gain = 1): Tensor {
  const { fanIn, fanOut } = fans(tensor)
  const bound = gain * Math.sqrt(6 / (fanIn + fanOut))
  return uniform_(tensor, -bound, bound)
}

/** Glorot and Bengio 2010, normal. */
export function xavier_normal_(tensor: Tensor, gain = 1): Tensor {
  const { fanIn, fanOut } = fans(tensor)
  return normal_(tensor, 0, gain * Math.sqrt(2 / (fanIn + fanOut)))
}

function kaimingStd(tensor: Tensor, a: number, mode: string, nonlinearity: string): number {
  const { fanIn, fanOut } = fans(tensor)
  if (mode !== 'fan_in' && mode !== 'fan_out') throw unsupported('kaiming', 'mode', mode, ['fan_in', 'fan_out'])
  return calculate_gain(nonlinearity, a) / Math.sqrt(mode === 'fan_in' ? fanIn : fanOut)
}

/** He et al. 2015, uniform. */
export function kaiming_uniform_(tensor: Tensor, a = 0, mode = 'fan_in', nonlinearity = 'leaky_relu'): Tensor {
  const bound = Math.sqrt(3) * kaimingStd(tensor, a, mode, nonlinearity)
  return uniform_(tensor, -bound, bound)
}

/** He et al. 2015, normal. */
export function kaiming_normal_(tensor: Tensor, a = 0, mode = 'fan_in', nonlinearity = 'leaky_relu'): Tensor {
  return normal_(tensor, 0, kaimingStd(tensor, a, mode, nonlinearity))
}
