// Keys and values of the tokens so far, so that generation computes each token once (transformers.DynamicCache).
import { no_grad } from '../tensor/autograd.ts'
import { keep, tidy } from '../tensor/scope.ts'
import { Tensor } from '../tensor/tensor.ts'

interface Layer {
  keys: Tensor // (B,Hkv,capacity,D)
  values: Tensor
  length: number
}

/** Grows as generation goes on: capacity doubles, so that appending a token copies that token alone. */
export class DynamicCache {
  private readonly layers: Layer[] = []

  /** Tokens held. */
  get_seq_length(): number {
    return this.layers[0]?.length ?? 0
  }

  /** Appends keys and values (B,Hkv,T,D) of a layer. Returns views of all so far (B,Hkv,S,D), valid until the next update. */
  update(keys: Tensor, values: Tensor, layer: number): { keys: Tensor; values: Tensor } {
    const T = keys.shape[2]
    const at = this.layers[layer]?.length ?? 0
    this.reserve(layer, keys, values, at + T)
    const held = this.layers[layer]
    no_grad(() =>
      tidy(() => {
        held.keys.narrow(2, at, T).copy_(keys)
        held.values.narrow(2, at, T).copy_(values)
      }),
    )
    held.length = at + T
    return { keys: held.keys.narrow(2, 0, at + T), values: held.values.narrow(2, 0, at + T) }
  }

  /** Keeps only the first `length` tokens. */
  crop(length: number): void {
    for (const layer of this.layers) layer.length = Math.min(layer.length, length)
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const { keys, values } of this.layers) {
      keys.dispose()
      values.dispose()
    }
    this.layers.length = 0
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  private reserve(layer: number, keys: Tensor, values: Tensor, length: number): void {
    const held = this.layers[layer]
    if (held && held.keys.shape[2] >= length) return
    // In steps of 64, and a half more each time: a short prompt does not pay for a long one.
    const capacity = Math.ceil(Math.max(length, held ? 1.5 * held.keys.shape[2] : length + 1) / 64) * 64
    const grow = (given: Tensor, old: Tensor | undefined) => {
      const [B, H, , D] = given.shape
      const grown = keep(Tensor.empty([B, H, capacity, D], given.dtype, 'key-value cache'))
      if (old) tidy(() => void grown.narrow(2, 0, held.length).copy_(old.narrow(2, 0, held.length)))
      old?.dispose()
      return grown
    }
    no_grad(() => {
      this.layers[layer] = {
        keys: grow(keys, held?.keys),
        values: grow(values, held?.values),
        length: held?.length ?? 0,
      }
    })
  }
}
