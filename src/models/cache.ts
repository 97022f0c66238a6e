// Keys and values of the tokens so far, so that generation computes each token once (transformers' caches).
import { load_file, openFile, openSafetensors, save_file } from '../io/index.ts'
import { cat } from '../ops/movement.ts'
import { no_grad } from '../tensor/autograd.ts'
import { keep, tidy } from '../tensor/scope.ts'
import { show } from '../tensor/shape.ts'
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
  /** Forgets all but the first `length` tokens. @throws RushlightError where that is not possible any more */
  crop(length: number): void
  /** Row b becomes what row rows[b] was: beams move, and a batch grows or shrinks. */
  reorder_cache(rows: readonly number[]): void
  dispose(): void
}

/** States that are not keys and values: what all caches have. */
abstract class States {
  protected readonly states = new Map<string, Tensor>()
  /** Tokens that the states have seen. */
  protected stateLength = 0

  state(layer: number, name: string): Tensor | undefined {
    return this.states.get(`${layer}.${name}`)
  }

  set_state(layer: number, name: string, value: Tensor, length: number): void {
    this.state(layer, name)?.dispose()
    this.states.set(`${layer}.${name}`, keep(value))
    this.stateLength = length
  }

  protected cropStates(length: number): void {
    if (length >= this.stateLength) return
    if (length > 0)
      throw new RushlightError(
        `cache: the states of convolutions and recurrences stand after ${this.stateLength} tokens and cannot go back to ${length}`,
      )
    this.clearStates()
  }

  protected reorderStates(rows: readonly number[]): void {
    for (const [name, state] of this.states) this.states.set(name, chosen(state, rows))
  }

  protected clearStates(): void {
    for (const state of this.states.values()) state.dispose()
    this.states.clear()
    this.stateLength = 0
  }

  abstract dispose(): void

  [Symbol.dispose](): void {
    this.dispose()
  }
}

interface Layer {
  keys: Tensor // (B,Hkv,capacity,D)
  values: Tensor
  /** Tokens in it, the last of those that it has seen. */
  length: number
  seen: number
}

/** Tokens that a windowed layer holds on to beyond its window, so that drafts can be taken back. */
const SLACK = 64

/** Grows as generation goes on; capacity grows by half, so that appending a token copies that token alone. Windowed layers crop themselves. */
export class DynamicCache extends States implements Cache {
  protected readonly layers = new Map<number, Layer>()

  get_seq_length(): number {
    const [first] = this.layers.values()
    return first?.seen ?? this.stateLength
  }

  /** Appends keys and values (B,Hkv,T,D) of a layer. Returns views of those that may be looked at (B,Hkv,S,D), valid until the next update. */
  update(keys: Tensor, values: Tensor, layer: number, window: number | null = null): { keys: Tensor; values: Tensor } {
    const T = keys.shape[2]
    const held = this.room(layer, keys, values, window)
    no_grad(() =>
      tidy(() => {
        held.keys.narrow(2, held.length, T).copy_(keys)
        held.values.narrow(2, held.length, T).copy_(values)
      }),
    )
    held.length += T
    held.seen += T
    const seenBy = window === null ? held.length : Math.min(held.length, window - 1 + T)
    const first = held.length - seenBy
    return { keys: held.keys.narrow(2, first, seenBy), values: held.values.narrow(2, first, seenBy) }
  }

  crop(length: number): void {
    this.cropStates(length)
    for (const held of this.layers.values()) {
      const drop = held.seen - length
      if (drop <= 0) continue
      if (length > 0 && held.length < held.seen && drop > SLACK)
        throw new RushlightError(`cache: a windowed layer has dropped tokens that going back to ${length} needs`)
      held.length = Math.max(0, held.length - drop)
      held.seen = length
    }
  }

  reorder_cache(rows: readonly number[]): void {
    const [first] = this.layers.values()
    if (first && rows.length === first.keys.shape[0] && rows.every((row, b) => row === b)) return
    this.reorderStates(rows)
    for (const held of this.layers.values()) {
      held.keys = chosen(held.keys, rows)
      held.values = chosen(held.values, rows)
    }
  }

  /** Writes the tokens held to a safetensors file, from which `load` goes on. */
  async save(path: string): Promise<void> {
    const tensors: Record<string, Tensor> = {}
    const lengths: Record<string, string> = { state_length: String(this.stateLength) }
    for (const [layer, { keys, values, length, seen }] of this.layers) {
      tensors[`layers.${layer}.keys`] = keys.narrow(2, 0, length)
      tensors[`layers.${layer}.values`] = values.narrow(2, 0, length)
      lengths[`layers.${layer}.seen`] = String(seen)
    }
    for (const [name, state] of this.states) tensors[`states.${name}`] = state
    try {
      await save_file(tensors, path, { format: 'rushlight-cache', ...lengths })
    } finally {
      for (const [name, tensor] of Object.entries(tensors)) if (!name.startsWith('states.')) tensor.dispose()
    }
  }

  /** Reads a cache that was saved. @throws FileFormatError when the file is damaged, RushlightError when it is no cache */
  static async load(path: string): Promise<DynamicCache> {
    const { tensors, metadata } = await loaded(path)
    const cache = new DynamicCache()
    cache.stateLength = Number(metadata.state_length)
    for (const [name, tensor] of Object.entries(tensors)) {
      keep(tensor)
      const [, layer, part] = name.match(/^layers\.(\d+)\.(keys|values)$/) ?? []
      if (part === 'keys') {
        const values = tensors[`layers.${layer}.values`]
        const seen = Number(metadata[`layers.${layer}.seen`])
        if (
          !values ||
          show(values.shape.slice(0, 3)) !== show(tensor.shape.slice(0, 3)) ||
          !(seen >= tensor.shape[2])
        ) {
          for (const each of Object.values(tensors)) each.dispose()
          throw new RushlightError(`${path}: layer ${layer}: keys, values and length do not belong together`)
        }
        cache.layers.set(Number(layer), { keys: tensor, values, length: tensor.shape[2], seen })
      } else if (name.startsWith('states.')) cache.states.set(name.slice('states.'.length), tensor)
    }
    return cache
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

  /** Tokens to make room for, when there are `length` in all. */
  protected capacity(length: number, before: number): number {
    // In steps of 64, and a half more each time: a short prompt does not pay for a long one.
    return Math.ceil(Math.max(length, before > 0 ? 1.5 * before : length + 1) / 64) * 64
  }

  /** The layer, with room for the new keys: where it had none, a larger one, or a windowed one without what it need not hold. */
  private room(layer: number, keys: Tensor, values: Tensor, window: number | null): Layer {
    const held = this.layers.get(layer)
    const T = keys.shape[2]
    const before = held?.keys.shape[2] ?? 0
    if (held && held.length + T <= before) return held
    const kept = Math.min(held?.length ?? 0, window === null ? Number.POSITIVE_INFINITY : window - 1 + SLACK)
    const enough = window !== null && held !== undefined && kept + T <= before / 2
    const capacity = enough ? before : this.capacity(kept + T, before)
    const moved = (given: Tensor, old: Tensor | undefined) => {
      const [B, H, , D] = given.shape
      const grown = keep(Tensor.empty([B, H, capacity, D], given.dtype, 'key-value cache'))
      if (old && held) tidy(() => void grown.narrow(2, 0, kept).copy_(old.narrow(2, held.length - kept, kept)))
      old?.dispose()
      return grown
    }
    const grown = no_grad(() => ({
      keys: moved(keys, held?.keys),
      values: moved(values, held?.values),
      length: kept,
      seen: held?.seen ?? 0,
    }))
    this.layers.set(layer, grown)
    return grown
  }
}

/** Room for `max_cache_len` tokens, taken at once. */
export class StaticCache extends DynamicCache {
  readonly max_cache_len: number

  constructor({ max_cache_len }: { max_cache_len: number }) {
    super()
    if (!(Number.isSafeInteger(max_cache_len) && max_cache_len > 0))
      throw new RushlightError(`StaticCache: max_cache_len: expected a whole number from 1 up, found ${max_cache_len}`)
    this.max_cache_len = max_cache_len
  }

  protected override capacity(length: number): number {
    if (length > this.max_cache_len)
      throw new RushlightError(
        `StaticCache: ${length} tokens do not fit max_cache_len ${this.max_cache_len}. Hint: a larger one, or cache_implementation: 'dynamic'`,
      )
    return this.max_cache_len
  }
}

/** How a quantized cache rounds (transformers' `cache_config`). */
export interface QuantizedCacheConfig {
  /** 8 or 4. */
  nbits?: number
  /** Neighbours of a head that share a scale. */
  q_group_size?: number
  /** The newest tokens stay as they are until there are so many. */
  residual_length?: number
}

interface QuantizedLayer {
  keys: QuantizedPart
  values: QuantizedPart
}

/** One of keys and values: rounded chunks, and the newest tokens. */
interface QuantizedPart {
  chunks: Chunk[]
  residual: Tensor | null // (B,H,R,D)
}

interface Chunk {
  codes: Tensor // uint8 (B,H,T,D), or (B,H,T,D/2) with two codes a byte
  scale: Tensor // (B,H,T,D/G,1)
  least: Tensor
}

/** Keys and values in 8 or 4 bits, but for the newest tokens (transformers.QuantizedCache). Each call widens a layer at a time. */
export class QuantizedCache extends States implements Cache {
  private readonly layers = new Map<number, QuantizedLayer>()
  private readonly nbits: number
  private readonly group: number
  private readonly residual: number

  constructor({ nbits = 4, q_group_size = 64, residual_length = 128 }: QuantizedCacheConfig = {}) {
    super()
    this.nbits = nbits
    this.group = q_group_size
    this.residual = residual_length
  }

  get_seq_length(): number {
    const [first] = this.layers.values()
    return first ? lengthOf(first.keys) : this.stateLength
  }

  update(keys: Tensor, values: Tensor, layer: number): { keys: Tensor; values: Tensor } {
    const held = this.layers.get(layer) ?? {
      keys: { chunks: [], residual: null },
      values: { chunks: [], residual: null },
    }
    this.layers.set(layer, held)
    return { keys: this.append(held.keys, keys), values: this.append(held.values, values) }
  }

  crop(length: number): void {
    this.cropStates(length)
    for (const { keys, values } of this.layers.values())
      for (const part of [keys, values]) {
        const drop = lengthOf(part) - length
        if (drop <= 0) continue
        const rest = (part.residual?.shape[2] ?? 0) - drop
        if (length === 0) clear(part)
        else if (rest < 0 || !part.residual)
          throw new RushlightError(`QuantizedCache: cannot go back to ${length} tokens, which are rounded already`)
        else replaceResidual(part, (residual) => residual.narrow(2, 0, rest).clone())
      }
  }

  reorder_cache(rows: readonly number[]): void {
    this.reorderStates(rows)
    for (const { keys, values } of this.layers.values())
      for (const part of [keys, values]) {
        for (const chunk of part.chunks)
          for (const name of ['codes', 'scale', 'least'] as const) chunk[name] = chosen(chunk[name], rows)
        if (part.residual) part.residual = chosen(part.residual, rows)
      }
  }

  dispose(): void {
    this.clearStates()
    for (const { keys, values } of this.layers.values()) {
      clear(keys)
      clear(values)
    }
    this.layers.clear()
  }

  /** All so far in float32, the new ones as they are; when the newest are many, they are rounded for later calls. */
  private append(part: QuantizedPart, given: Tensor): Tensor {
    const whole = no_grad(() => {
      const known = [...part.chunks.map((chunk) => this.widened(chunk)), ...(part.residual ? [part.residual] : [])]
      return known.length === 0 ? given.to('float32', { copy: true }) : cat([...known, given.to('float32')], 2)
    })
    replaceResidual(part, (residual) =>
      residual ? cat([residual, given.to('float32')], 2) : given.to('float32', { copy: true }),
    )
    const residual = part.residual as unknown as Tensor
    if (residual.shape[2] >= this.residual) {
      part.chunks.push(this.rounded(residual))
      residual.dispose()
      part.residual = null
    }
    return whole
  }

  private rounded(x: Tensor): Chunk {
    return no_grad(() =>
      tidy(() => {
        const [B, H, T, D] = x.shape
        const G = D % this.group === 0 ? this.group : D
        const grouped = x.reshape([B, H, T, D / G, G])
        const least = grouped.amin(-1, true) // (B,H,T,D/G,1)
        const scale = grouped
          .amax(-1, true)
          .sub(least)
          .div(2 ** this.nbits - 1)
        const codes = grouped.sub(least).div(scale.clamp(1e-12)).round().reshape([B, H, T, D])
        const packed = this.nbits === 8 ? codes : pairs(codes)
        return {
          codes: keep(packed.to('uint8', { copy: true })),
          scale: keep(scale.clone()),
          least: keep(least.clone()),
        }
      }),
    )
  }

  private widened({ codes, scale, least }: Chunk): Tensor {
    return tidy(() => {
      const wide = codes.to('float32')
      const [B, H, T] = wide.shape
      const values = this.nbits === 8 ? wide : unpaired(wide) // (B,H,T,D)
      const groups = scale.shape[3]
      const D = values.shape[3]
      return values
        .reshape([B, H, T, groups, D / groups])
        .mul(scale)
        .add(least)
        .reshape([B, H, T, D])
    })
  }
}

/** Two codes of four bits a byte: (…,D) to (…,D/2). */
function pairs(codes: Tensor): Tensor {
  const half = codes.shape[3] / 2
  return codes.narrow(3, 0, half).add(codes.narrow(3, half, half).mul(16))
}

function unpaired(bytes: Tensor): Tensor {
  const high = bytes.div(16).floor()
  return cat([bytes.sub(high.mul(16)), high], 3)
}

function lengthOf({ chunks, residual }: QuantizedPart): number {
  return chunks.reduce((sum, { codes }) => sum + codes.shape[2], residual?.shape[2] ?? 0)
}

function replaceResidual(part: QuantizedPart, make: (residual: Tensor) => Tensor): void {
  const before = part.residual
  part.residual = no_grad(() => tidy(() => keep(make(before as Tensor))))
  before?.dispose()
}

function clear(part: QuantizedPart): void {
  for (const chunk of part.chunks.splice(0)) for (const tensor of Object.values(chunk)) (tensor as Tensor).dispose()
  part.residual?.dispose()
  part.residual = null
}

/** Rows of a tensor, in its place. */
function chosen(tensor: Tensor, rows: readonly number[]): Tensor {
  const moved = no_grad(() => tidy(() => keep(tensor.index_select(0, Tensor.from([...rows], [rows.length], 'int64')))))
  tensor.dispose()
  return moved
}

async function loaded(path: string): Promise<{ tensors: Record<string, Tensor>; metadata: Record<string, string> }> {
  const file = await openFile(path)
  const { metadata } = await openSafetensors(file)
  await file.close()
  const format = metadata.get('format')
  if (format !== 'rushlight-cache')
    throw new RushlightError(
      `${path}: expected a cache that was saved by cache.save(), found ${format ?? 'other tensors'}`,
    )
  return { tensors: await load_file(path), metadata: Object.fromEntries(metadata) }
}
