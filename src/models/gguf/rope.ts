// Rotary settings of a GGUF file, as a config's rope_parameters.
import { unsupported } from '../../util/errors.ts'
import type { RopeParameters } from '../config.ts'
import type { Metadata } from './metadata.ts'

/** Architectures whose configs take a part of each head for granted. */
const PARTIAL = ['gptneox', 'phi2', 'stablelm']

/**
 * `rope_parameters` of all layers.
 * @param head_dim size of a head: where fewer dimensions of it are turned, the part is told
 * @throws UnsupportedOptionError for a type that llama.cpp alone has
 */
export async function ropeOf(m: Metadata, head_dim: number): Promise<RopeParameters> {
  const rope: RopeParameters = { rope_type: 'default', rope_theta: m.number('rope.freq_base', 10000) }
  const turned = m.number('rope.dimension_count', head_dim)
  if (turned !== head_dim || PARTIAL.includes(m.architecture)) rope.partial_rotary_factor = turned / head_dim
  if (m.has('rope_freqs.weight')) return { ...rope, ...fromFactors(await m.numbers('rope_freqs.weight'), m) }
  if (m.has('rope_factors_long.weight'))
    return {
      ...rope,
      rope_type: 'longrope',
      short_factor: await m.numbers('rope_factors_short.weight'),
      long_factor: await m.numbers('rope_factors_long.weight'),
      original_max_position_embeddings: m.number('rope.scaling.original_context_length'),
    }
  return { ...rope, ...scaled(m) }
}

/** By the keys `rope.scaling.*`. */
function scaled(m: Metadata): Partial<RopeParameters> {
  const type = m.value('rope.scaling.type') ?? 'none'
  if (type === 'none') return {}
  const factor = m.number('rope.scaling.factor')
  if (type === 'linear') return { rope_type: 'linear', factor }
  if (type !== 'yarn')
    throw unsupported(m.file, `${m.architecture}.rope.scaling.type`, type, ['none', 'linear', 'yarn'])
  const rest = {
    attention_factor: m.optional('rope.scaling.yarn_attn_factor'),
    beta_fast: m.optional('rope.scaling.yarn_beta_fast'),
    beta_slow: m.optional('rope.scaling.yarn_beta_slow'),
  }
  return {
    rope_type: 'yarn',
    factor,
    original_max_position_embeddings: m.number('rope.scaling.original_context_length'),
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
  }
}

/**
 * From a table of what each frequency is divided by, which llama.cpp writes for rope type llama3: the settings of Llama 3.1 and
 * 3.2 where they give that table, else the table itself, which `longrope` can say.
 */
function fromFactors(factors: number[], m: Metadata): Partial<RopeParameters> {
  const llama3 = {
    rope_type: 'llama3',
    factor: Math.max(...factors),
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  }
  const theta = m.number('rope.freq_base', 10000)
  const same = factors.every((factor, i) => {
    const waves = (8192 * theta ** (-i / factors.length)) / (2 * Math.PI) // within the original context
    const smooth = Math.min(Math.max((waves - 1) / 3, 0), 1)
    return Math.abs(factor * ((1 - smooth) / llama3.factor + smooth) - 1) < 1e-4
  })
  if (same) return llama3
  return {
    rope_type: 'longrope',
    short_factor: factors,
    long_factor: factors,
    attention_factor: 1,
    original_max_position_embeddings: m.number('context_length'),
  }
}
