// GenerationConfig: the options of generate(), with Python's names and defaults.
import { RushlightError, UnsupportedOptionError } from '../util/errors.ts'

const defaults = {
  /** Tokens in all, the prompt among them, unless max_new_tokens is given. */
  max_length: 20 as number | null,
  max_new_tokens: null as number | null,
  min_length: 0,
  min_new_tokens: null as number | null,
  do_sample: false,
  temperature: 1,
  top_k: 50 as number | null,
  top_p: 1,
  min_p: null as number | null,
  repetition_penalty: 1,
  use_cache: true,
  eos_token_id: null as number | number[] | null,
  pad_token_id: null as number | null,
  bos_token_id: null as number | null,
  /** Seed of this call's sampling; without it every call differs, unless manual_seed was called. */
  seed: null as number | null,
}

export interface GenerationConfig extends Readonly<typeof defaults> {}

/** Keys of Python's GenerationConfig that change nothing at these values; any other value is not supported yet. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  num_beams: [1],
  num_return_sequences: [1],
  return_dict_in_generate: [false],
  output_scores: [false],
  output_logits: [false],
  output_attentions: [false],
  output_hidden_states: [false],
  early_stopping: [false],
  length_penalty: [1],
  no_repeat_ngram_size: [0],
  encoder_repetition_penalty: [1],
  typical_p: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  renormalize_logits: [false],
  remove_invalid_values: [false],
}

/** Keys that say where a config comes from, not what to do. */
const NOTES = ['transformers_version', '_from_model_config']

/** Options of generation (transformers.GenerationConfig). A plain object is accepted wherever one is. */
export class GenerationConfig {
  /** @throws UnsupportedOptionError for an option that is not supported, RushlightError for a value out of range */
  constructor(given: Readonly<Record<string, unknown>> = {}) {
    const own = {} as Record<string, unknown>
    for (const [key, value] of Object.entries(given)) {
      if (value === undefined) continue
      if (Object.hasOwn(defaults, key)) own[key] = value
      else if (!isNeutral(key, value))
        throw new UnsupportedOptionError(
          `generate: unsupported option ${key}. Supported: ${Object.keys(defaults).join(', ')}, streamer, signal`,
        )
    }
    Object.assign(this, defaults, own)
    this.check()
  }

  private check(): void {
    const require = (ok: boolean, name: keyof typeof defaults, expected: string) => {
      if (!ok) throw new RushlightError(`generate: ${name}: expected ${expected}, found ${JSON.stringify(this[name])}`)
    }
    const whole = (x: unknown, least: number) => x === null || (Number.isSafeInteger(x) && (x as number) >= least)
    const within = (x: unknown, most: number) => typeof x === 'number' && x >= 0 && x <= most
    const isId = (x: unknown) => whole(x, 0) && x !== null
    require(whole(this.max_length, 1), 'max_length', 'a whole number from 1 up')
    require(whole(this.max_new_tokens, 1), 'max_new_tokens', 'a whole number from 1 up')
    require(whole(this.min_length, 0), 'min_length', 'a whole number from 0 up')
    require(whole(this.min_new_tokens, 0), 'min_new_tokens', 'a whole number from 0 up')
    require(typeof this.do_sample === 'boolean', 'do_sample', 'true or false')
    require(typeof this.use_cache === 'boolean', 'use_cache', 'true or false')
    const warm = Number.isFinite(this.temperature) && this.temperature > 0
    require(!this.do_sample || warm, 'temperature', 'a number above 0 (do_sample: false is greedy)')
    require(whole(this.top_k, 0), 'top_k', 'a whole number from 1 up, or 0 for no limit')
    require(within(this.top_p, 1), 'top_p', 'a number from 0 to 1')
    require(this.min_p === null || within(this.min_p, 1), 'min_p', 'a number from 0 to 1')
    require(Number.isFinite(this.repetition_penalty) &&
      this.repetition_penalty > 0, 'repetition_penalty', 'a number above 0')
    require(whole(this.seed, 0), 'seed', 'a whole number from 0 up')
    const ends = this.eos_token_id
    require(ends === null || [ends].flat().every(isId), 'eos_token_id', 'an id or a list of them')
    require(whole(this.pad_token_id, 0), 'pad_token_id', 'an id')
  }
}

function isNeutral(key: string, value: unknown): boolean {
  return value === null || NOTES.includes(key) || (Object.hasOwn(NEUTRAL, key) && NEUTRAL[key].includes(value))
}

/** Takes from a repository's config what there is here; the rest is given back, for one warning. */
export function splitRepositoryConfig(given: Readonly<Record<string, unknown>>): {
  known: Record<string, unknown>
  unknown: string[]
} {
  const known: Record<string, unknown> = {}
  const unknown: string[] = []
  for (const [key, value] of Object.entries(given)) {
    if (Object.hasOwn(defaults, key)) known[key] = value
    else if (!isNeutral(key, value)) unknown.push(key)
  }
  return { known, unknown }
}
