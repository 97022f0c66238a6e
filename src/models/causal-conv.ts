// Convolution of each channel over the tokens so far, whose last columns a cache keeps; and states of padding, silenced.
import type { Conv1d } from '../nn/layers.ts'
import { zeros } from '../ops/creation.ts'
import { cat } from '../ops/movement.ts'
import { no_grad } from '../tensor/autograd.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Context } from './attention.ts'

/** Convolves each channel of x (B,C,T) with those before it: (B,C,T). `conv` is depthwise, without padding of its own. */
export function causalConv(conv: Conv1d, x: Tensor, { cache, length }: Context, layer: number): Tensor {
  const [B, C, T] = x.shape
  const before = conv.kernel_size[0] - 1
  const past = cache?.state(layer, 'conv') ?? zeros([B, C, before])
  const columns = cat([past, x], -1) // (B,C,K-1+T)
  cache?.set_state(
    layer,
    'conv',
    no_grad(() => columns.narrow(-1, T, before).clone()),
    length,
  )
  return conv(columns)
}

/** States (B,T,H) with those of padding zeroed, so that a layer that carries a state does not take them in. */
export function withoutPadding(x: Tensor, { key_padding_mask: mask }: Context): Tensor {
  if (!mask) return x
  const T = x.shape[1]
  return x.mul(
    mask
      .narrow(1, mask.shape[1] - T, T)
      .to(x.dtype)
      .unsqueeze(-1),
  )
}
