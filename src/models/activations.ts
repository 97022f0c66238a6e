// Activations by their name in a config (transformers.activations.ACT2FN).
import * as F from '../nn/functional.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { unsupported } from '../util/errors.ts'

export type Activation = (x: Tensor) => Tensor

const gelu_tanh: Activation = (x) => F.gelu(x, 'tanh')

const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu: (x) => F.gelu(x),
  gelu_new: gelu_tanh,
  gelu_fast: gelu_tanh,
  gelu_pytorch_tanh: gelu_tanh,
  gelu_accurate: gelu_tanh,
  relu: (x) => F.relu(x),
  silu: (x) => F.silu(x),
  swish: (x) => F.silu(x),
  sigmoid: (x) => F.sigmoid(x),
  tanh: (x) => F.tanh(x),
  mish: (x) => F.mish(x),
  quick_gelu: (x) => x.mul(x.mul(1.702).sigmoid()),
  relu2: (x) => F.relu(x).square(),
  linear: (x) => x,
}

/** The activation of that name. @throws UnsupportedOptionError listing those there are */
export function ACT2FN(name: string): Activation {
  if (!Object.hasOwn(ACTIVATIONS, name)) throw unsupported('config', 'hidden_act', name, Object.keys(ACTIVATIONS))
  return ACTIVATIONS[name]
}
