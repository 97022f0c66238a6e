// Keys and values of the tokens so far, so that generation computes each token once (transformers.DynamicCache).
import { no_grad } from '../tensor/autograd.ts'
import { keep, tidy } from '../tensor/scope.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'

/** What a model's layers write to and read from. */
export interface Cache {
  /** Tokens seen so far. */
  get_seq_length(): number
  /**
   * Appends keys and values (B,Hkv,T,D) of a layer. Returns views of what its queries may look at, always the last positions,
   * valid until the next update. `window`: the layer looks at the last so many positions only, so older ones may be dropped.
   */
  update(keys: Tensor, values: Tensor, layer: number, window?: number | null): { keys: Tensor; values: Tensor }
  /** State of a layer that is not attention (convolutions, recurrences), by name. */
  state(layer: number, name: string): Tensor | undefined
  /** Takes over such a state after `length` tokens, out of all scopes, and frees the one it replaces. */
  set_state(layer: number, name: string, value: Tensor, length: number): void
  dispose(): void
}

interface Layer {
  keys: Tensor // (B,Hkv,capacity,D)
  values: Tensor
  length: number
}

/** Grows as generation goes on: capacity doubles, so that appending a token copies that token alone. */
export class DynamicCache implements Cache {
  private readonly layers = new Map<number, Layer>()
  private readonly states = new Map<string, Tensor>()
  /** Tokens that the states have seen. */
  private stateLength = 0

  /** Tokens held. */
  get_seq_length(): number {
    const [first] = this.layers.values()
    return first?.length ?? this.stateLength
  }

  /** Appends keys and values (B,Hkv,T,D) of a layer. Returns views of all so far (B,Hkv,S,D), valid until the next update. */
  update(keys: Tensor, values: Tensor, layer: number): { keys: Tensor; values: Tensor } {
    const T = keys.shape[2]
    const at = this.layers.get(layer)?.length ?? 0
    const held = this.reserve(layer, keys, values, at + T)
    no_grad(() =>
      tidy(() => {
        held.keys.narrow(2, at, T).copy_(keys)
        held.values.narrow(2, at, T).copy_(values)
      }),
    )
    held.length = at + T
    return { keys: held.keys.narrow(2, 0, at + T), values: held.values.narrow(2, 0, at + T) }
  }

  /** Keeps only the first `length` tokens. @throws RushlightError where a state has seen more, which only goes back to nothing */
  crop(length: number): void {
    if (length < this.stateLength) {
      if (length > 0)
        throw new RushlightError(
          `cache: the states of convolutions and recurrences stand after ${this.stateLength} tokens and cannot go back to ${length}`,
        )
      this.clearStates()
    }
    for (const layer of this.layers.values()) layer.length = Math.min(layer.length, length)
  }

  state(layer: number, name: string): Tensor | undefined {
    return this.states.get(`${layer}.${name}`)
  }

  set_state(layer: number, name: string, value: Tensor, length: number): void {
    this.state(layer, name)?.dispose()
    this.states.set(`${layer}.${name}`, keep(value))
    this.stateLength = length
  }

  private clearStates(): void {
    for (const state of this.states.values()) state.dispose()
    this.states.clear()
    this.stateLength = 0
  }

  /** Gives the memory back. */
  dispose(): void {
    this.clearStates()
    for (const { keys, values } of this.layers.values()) {
      keys.dispose()
      values.dispose()
    }
    this.layers.clear()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  private reserve(layer: number, keys: Tensor, values: Tensor, length: number): Layer {
    const held = this.layers.get(layer)
    if (held && held.keys.shape[2] >= length) return held
    // In steps of 64, and a half more each time: a short prompt does not pay for a long one.
    const capacity = Math.ceil(Math.max(length, held ? 1.5 * held.keys.shape[2] : length + 1) / 64) * 64
    const grow = (given: Tensor, old: Tensor | undefined) => {
      const [B, H, , D] = given.shape
      const grown = keep(Tensor.empty([B, H, capacity, D], given.dtype, 'key-value cache'))
      if (old && held) tidy(() => void grown.narrow(2, 0, held.length).copy_(old.narrow(2, 0, held.length)))
      old?.dispose()
      return grown
    }
    const grown = no_grad(() => ({
      keys: grow(keys, held?.keys),
      values: grow(values, held?.values),
      length: held?.length ?? 0,
    }))
    this.layers.set(layer, grown)
    return grown
  }
}
