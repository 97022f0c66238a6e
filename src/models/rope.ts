// Rotary position embedding (Su et al. 2021): frequencies of each rope type, and the tables of cosines and sines.
import { keep } from '../tensor/scope.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError, unsupported } from '../util/errors.ts'
import { type PreTrainedConfig, type RopeParameters, ropeParameters } from './config.ts'

interface Frequencies {
  /** Angle per position of each pair of dimensions, rounded to float32 as torch computes them. */
  inv_freq: Float32Array
  /** What cosines and sines are multiplied by. */
  attention_scaling: number
}

type RopeType = (rope: RopeParameters, dim: number, config: PreTrainedConfig) => Frequencies

/** θ^(-2i/d) */
function base(theta: number, dim: number): Float32Array {
  return Float32Array.from({ length: dim / 2 }, (_, i) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / dim))),
  )
}

function required(rope: RopeParameters, ...names: (keyof RopeParameters)[]): number[] {
  return names.map((name) => {
    const value = rope[name]
    if (typeof value !== 'number')
      throw new RushlightError(
        `config: rope type ${rope.rope_type} needs the number ${name}, found ${JSON.stringify(value)}`,
      )
    return value
  })
}

const ROPE_TYPES: Readonly<Record<string, RopeType>> = {
  default: ({ rope_theta }, dim) => ({ inv_freq: base(rope_theta, dim), attention_scaling: 1 }),

  // Positions squeezed by a factor (Chen et al. 2023).
  linear: (rope, dim) => {
    const [factor] = required(rope, 'factor')
    return { inv_freq: base(rope.rope_theta, dim).map((f) => f / factor), attention_scaling: 1 }
  },

  // Llama 3.1: low frequencies are squeezed, high ones kept, those between blended.
  llama3: (rope, dim) => {
    const [factor, low, high, original] = required(
      rope,
      'factor',
      'low_freq_factor',
      'high_freq_factor',
      'original_max_position_embeddings',
    )
    const inv_freq = base(rope.rope_theta, dim).map((f) => {
      const wavelength = (2 * Math.PI) / f
      if (wavelength < original / high) return f
      if (wavelength > original / low) return f / factor
      const smooth = (original / wavelength - low) / (high - low)
      return ((1 - smooth) * f) / factor + smooth * f
    })
    return { inv_freq, attention_scaling: 1 }
  },
}

/** Cosines and sines of the tokens of a call. */
export interface Angles {
  cos: Tensor
  sin: Tensor
}

/** The angles for a type of layer. */
export type Rotation = (layer_type?: string) => Angles

/** Tables of cosines and sines for a model's heads, made for as many positions as have been asked for. */
export class RotaryEmbedding {
  private readonly frequencies: Frequencies
  private cos: Tensor | null = null // (S, D/2)
  private sin: Tensor | null = null

  /** @param dim rotary dimensions of a head */
  constructor(config: PreTrainedConfig, dim: number) {
    const rope = ropeParameters(config)
    if (!Object.hasOwn(ROPE_TYPES, rope.rope_type))
      throw unsupported('config', 'rope_type', rope.rope_type, Object.keys(ROPE_TYPES))
    this.frequencies = ROPE_TYPES[rope.rope_type](rope, dim, config)
  }

  /**
   * Cosines and sines of positions: (T, D/2) for consecutive ones, given by their first and number;
   * (B, T, D/2) for those of a tensor of int64. They are made at once, for every type of layer, in the present scope.
   */
  at(positions: Tensor | { start: number; length: number }): Rotation {
    const angles = this.anglesAt(positions)
    return () => angles
  }

  private anglesAt(positions: Tensor | { start: number; length: number }): Angles {
    if (positions instanceof Tensor) {
      const { cos, sin } = this.table(positions.numel() === 0 ? 0 : positions.max().item() + 1)
      const rows = positions.reshape([-1])
      const shape = [...positions.shape, cos.shape[1]]
      return { cos: cos.index_select(0, rows).reshape(shape), sin: sin.index_select(0, rows).reshape(shape) }
    }
    const { start, length } = positions
    const { cos, sin } = this.table(start + length)
    return { cos: cos.narrow(0, start, length), sin: sin.narrow(0, start, length) }
  }

  private table(positions: number): Angles {
    if (!this.cos || !this.sin || this.cos.shape[0] < positions) {
      const { inv_freq, attention_scaling } = this.frequencies
      const size = Math.max(256, 2 ** Math.ceil(Math.log2(Math.max(positions, 1))))
      const half = inv_freq.length
      const make = (fn: (angle: number) => number) => {
        const values = new Float32Array(size * half)
        for (let p = 0; p < size; p++)
          for (let i = 0; i < half; i++) values[p * half + i] = attention_scaling * fn(Math.fround(p * inv_freq[i]))
        return keep(Tensor.from(values, [size, half]))
      }
      this.dispose()
      this.cos = make(Math.cos)
      this.sin = make(Math.sin)
    }
    return { cos: this.cos, sin: this.sin }
  }

  dispose(): void {
    this.cos?.dispose()
    this.sin?.dispose()
    this.cos = this.sin = null
  }
}
