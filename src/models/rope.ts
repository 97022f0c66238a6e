// Rotary position embedding (Su et al. 2021): frequencies of each rope type, and the tables of cosines and sines.
import { keep } from '../tensor/scope.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError, shown, unsupported } from '../util/errors.ts'
import { type PreTrainedConfig, type RopeParameters, ropeLayerTypes, ropeParameters } from './config.ts'

interface Frequencies {
  /** Angle per position of each pair of dimensions, rounded to float32 as torch computes them. */
  inv_freq: Float32Array
  /** What cosines and sines are multiplied by. */
  attention_scaling: number
}

/** One rotary setting of a model. */
interface Setting extends RopeParameters {
  /** Dimensions of a head that are turned. */
  dim: number
  /** The longest sequence that the model is said to take. */
  max_position_embeddings: number
}

interface RopeType {
  /** Frequencies for a sequence of so many tokens. */
  frequencies(rope: Setting, length: number): Frequencies
  /**
   * Of a type whose frequencies change with the length: which of its sets such a length has, null for one of its own. As in Python
   * the length is that of the whole sequence so far, at each call; cached keys stay as they were turned. (Python's module also
   * remembers the longest sequence it has seen, until a short one resets it; ours depends on the call alone.)
   */
  set?(rope: Setting, length: number): number | null
}

/** θ^(-2i/d) */
function base(theta: number, dim: number): Float32Array {
  return Float32Array.from({ length: Math.ceil(dim / 2) }, (_, i) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / dim))),
  )
}

function required(rope: RopeParameters, ...names: (keyof RopeParameters)[]): number[] {
  return names.map((name) => {
    const value = rope[name]
    if (typeof value !== 'number')
      throw new RushlightError(`config: rope type ${rope.rope_type} needs the number ${name}, found ${shown(value)}`)
    return value
  })
}

/** The factor by which the context was stretched. */
function stretch(rope: Setting, original: number): number {
  return rope.factor ?? rope.max_position_embeddings / original
}

const ROPE_TYPES: Readonly<Record<string, RopeType>> = {
  default: {
    frequencies: ({ rope_theta, dim }) => ({ inv_freq: base(rope_theta, dim), attention_scaling: 1 }),
  },

  // Positions squeezed by a factor (Chen et al. 2023).
  linear: {
    frequencies(rope) {
      const [factor] = required(rope, 'factor')
      return { inv_freq: base(rope.rope_theta, rope.dim).map((f) => f / factor), attention_scaling: 1 }
    },
  },

  // θ grows with the sequence once that is longer than the model's (bloc97 and emozilla 2023).
  dynamic: {
    frequencies(rope, length) {
      const [factor] = required(rope, 'factor')
      const { rope_theta, dim, max_position_embeddings: max } = rope
      if (dim <= 2) throw new RushlightError('config: rope type dynamic needs more than two dimensions of a head')
      const growth = (factor * Math.max(length, max)) / max - (factor - 1)
      const theta = growth === 1 ? rope_theta : Math.fround(rope_theta * growth ** (dim / (dim - 2)))
      return { inv_freq: base(theta, dim), attention_scaling: 1 }
    },
    set: ({ max_position_embeddings: max }, length) => (length > max ? null : 0),
  },

  // Low frequencies are squeezed, high ones kept, with a ramp over the dimensions between (Peng et al. 2023).
  yarn: {
    frequencies(rope) {
      const [original] = required(rope, 'original_max_position_embeddings')
      const { rope_theta, dim, mscale, mscale_all_dim } = rope
      const factor = stretch(rope, original)
      const temper = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1)
      /** The dimension that turns so many times within the original context. */
      const turning = (turns: number) => (dim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(rope_theta))
      let [low, high] = [turning(rope.beta_fast || 32), turning(rope.beta_slow || 1)]
      if (rope.truncate ?? true) [low, high] = [Math.floor(low), Math.ceil(high)]
      low = Math.max(low, 0)
      high = Math.min(high, dim - 1)
      if (low === high) high += 0.001
      const inv_freq = base(rope_theta, dim).map((f, i) => {
        const squeezed = Math.min(Math.max((i - low) / (high - low), 0), 1)
        return (f / factor) * squeezed + f * (1 - squeezed)
      })
      const attention_scaling =
        rope.attention_factor ?? (mscale && mscale_all_dim ? temper(mscale) / temper(mscale_all_dim) : temper(1))
      return { inv_freq, attention_scaling }
    },
  },

  // Each pair squeezed by a factor of its own; other factors once the sequence is longer than the original (Ding et al. 2024).
  longrope: {
    frequencies(rope, length) {
      const [original] = required(rope, 'original_max_position_embeddings')
      const name = length > original ? 'long_factor' : 'short_factor'
      const factors = rope[name]
      const inv_freq = base(rope.rope_theta, rope.dim)
      if (!Array.isArray(factors) || factors.length !== inv_freq.length)
        throw new RushlightError(
          `config: rope type longrope needs ${inv_freq.length} numbers of ${name}, found ${shown(factors)}`,
        )
      const factor = stretch(rope, original)
      const growth = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))
      return {
        inv_freq: inv_freq.map((f, i) => f / Math.fround(factors[i])),
        attention_scaling: rope.attention_factor ?? growth,
      }
    },
    set: ({ original_max_position_embeddings: original = 0 }, length) => Number(length > original),
  },

  // Llama 3.1: low frequencies are squeezed, high ones kept, those between blended.
  llama3: {
    frequencies(rope) {
      const [factor, low, high, original] = required(
        rope,
        'factor',
        'low_freq_factor',
        'high_freq_factor',
        'original_max_position_embeddings',
      )
      const inv_freq = base(rope.rope_theta, rope.dim).map((f) => {
        const wavelength = (2 * Math.PI) / f
        if (wavelength < original / high) return f
        if (wavelength > original / low) return f / factor
        const smooth = (original / wavelength - low) / (high - low)
        return ((1 - smooth) * f) / factor + smooth * f
      })
      return { inv_freq, attention_scaling: 1 }
    },
  },
}

/** Cosines and sines of the tokens of a call. */
export interface Angles {
  cos: Tensor
  sin: Tensor
}

/** The angles for a type of layer; the type matters only where the config has settings by type. */
export type Rotation = (layer_type?: string) => Angles

/** Places of tokens: (B,T) of int64, or consecutive ones by their first and number. */
export type Positions = Tensor | { start: number; length: number }

/** Cosines and sines for a model's heads. */
export class RotaryEmbedding {
  /** The setting of each type of layer, or the one of all under ''. */
  private readonly settings: ReadonlyMap<string, RotarySetting>

  /** @param headDim dimensions of a head, of which the config's `partial_rotary_factor` are turned */
  constructor(config: PreTrainedConfig, headDim: number) {
    const types = ropeLayerTypes(config)
    this.settings = new Map(
      (types.length > 0 ? types : ['']).map((type) => [
        type,
        new RotarySetting(settingOf(config, headDim, type === '' ? undefined : type)),
      ]),
    )
  }

  /**
   * Cosines and sines of positions: (T,P) for consecutive ones, given by their first and number; (B,T,P) for those of a tensor of
   * int64. They are made at once, for every type of layer, in the present scope.
   */
  at(positions: Positions): Rotation {
    const all = this.settings.get('')?.at(positions)
    if (all) return () => all
    const byType = new Map([...this.settings].map(([type, setting]) => [type, setting.at(positions)]))
    return (layer_type = '') => {
      const angles = byType.get(layer_type)
      if (!angles) throw unsupported('config', 'type of layer in rope_parameters', layer_type, [...byType.keys()])
      return angles
    }
  }

  /** Frees the tables. */
  dispose(): void {
    for (const setting of this.settings.values()) setting.dispose()
  }
}

function settingOf(config: PreTrainedConfig, headDim: number, layer_type?: string): Setting {
  const rope = ropeParameters(config, layer_type)
  if (!Object.hasOwn(ROPE_TYPES, rope.rope_type))
    throw unsupported('config', 'rope_type', rope.rope_type, Object.keys(ROPE_TYPES))
  const { partial_rotary_factor: partial = 1 } = rope
  const dim = Math.trunc(headDim * partial)
  if (!(dim >= 1) || 2 * Math.ceil(dim / 2) > headDim)
    throw new RushlightError(
      `config: rotary positions need an even number of dimensions of a head of ${headDim}, found partial_rotary_factor ${shown(partial)}`,
    )
  return { ...rope, dim, max_position_embeddings: config.max_position_embeddings as number }
}

/** One setting, with a table for as many positions as have been asked for, for each set of frequencies that it has. */
class RotarySetting {
  private readonly type: RopeType
  private readonly tables = new Map<number, Angles>()

  constructor(private readonly rope: Setting) {
    this.type = ROPE_TYPES[rope.rope_type]
    for (const length of [1, Number.MAX_SAFE_INTEGER]) this.type.frequencies(rope, length) // refuses a config that lacks something
  }

  at(positions: Positions): Angles {
    const { rope, type } = this
    const length = lengthOf(positions)
    const set = type.set ? type.set(rope, length) : 0
    const { cos, sin } =
      set === null
        ? anglesOf(type.frequencies(rope, length), placesOf(positions))
        : rowsOf(this.table(set, length), positions) // (T,P), (B·T,P)
    if (!(positions instanceof Tensor)) return { cos, sin }
    const shape = [...positions.shape, cos.shape[1]]
    return { cos: cos.reshape(shape), sin: sin.reshape(shape) } // (B,T,P)
  }

  /** The table of a set of frequencies, with at least `length` rows. */
  private table(set: number, length: number): Angles {
    const held = this.tables.get(set)
    if (held && held.cos.shape[0] >= length) return held
    held?.cos.dispose()
    held?.sin.dispose()
    const size = Math.max(256, 2 ** Math.ceil(Math.log2(length)))
    const { cos, sin } = anglesOf(this.type.frequencies(this.rope, length), placesOf({ start: 0, length: size }))
    const table = { cos: keep(cos), sin: keep(sin) }
    this.tables.set(set, table)
    return table
  }

  dispose(): void {
    for (const { cos, sin } of this.tables.values()) {
      cos.dispose()
      sin.dispose()
    }
    this.tables.clear()
  }
}

/** How long a sequence is whose last tokens stand at these positions. */
function lengthOf(positions: Positions): number {
  if (!(positions instanceof Tensor)) return positions.start + positions.length
  return positions.numel() === 0 ? 0 : positions.max().item() + 1
}

function placesOf(positions: Positions): number[] {
  if (positions instanceof Tensor) return positions.reshape([-1]).tolist() as number[]
  return Array.from({ length: positions.length }, (_, i) => positions.start + i)
}

/** Cosines and sines (N,P) of N places. */
function anglesOf({ inv_freq, attention_scaling }: Frequencies, places: number[]): Angles {
  const P = inv_freq.length
  const make = (fn: (angle: number) => number) => {
    const values = new Float32Array(places.length * P)
    places.forEach((place, n) => {
      for (let i = 0; i < P; i++) values[n * P + i] = attention_scaling * fn(Math.fround(place * inv_freq[i]))
    })
    return Tensor.from(values, [places.length, P])
  }
  return { cos: make(Math.cos), sin: make(Math.sin) }
}

/** The rows of a table at positions. */
function rowsOf({ cos, sin }: Angles, positions: Positions): Angles {
  if (positions instanceof Tensor) {
    const rows = positions.reshape([-1])
    return { cos: cos.index_select(0, rows), sin: sin.index_select(0, rows) }
  }
  const { start, length } = positions
  return { cos: cos.narrow(0, start, length), sin: sin.narrow(0, start, length) }
}
