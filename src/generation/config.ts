// GenerationConfig: the options of generate(), with Python's names and defaults.
import { HUB_OPTIONS, type HubOptions, openRepository } from '../hub/open.ts'
import { filesIn, type SaveTarget, writeText } from '../io/saving.ts'
import { FileFormatError, RushlightError, shown, UnsupportedOptionError } from '../util/errors.ts'
import { isObject, pythonJson } from '../util/json.ts'
import { warnOnce } from '../util/warn.ts'

/** A token id, or several. */
type Ids = number | number[] | null

const defaults = {
  // ---- how long
  /** Tokens in all, the prompt among them, unless max_new_tokens is given. Where neither is said, 20 new ones. */
  max_length: null as number | null,
  max_new_tokens: null as number | null,
  min_length: 0,
  min_new_tokens: null as number | null,
  /** false ends when as many sequences are finished as there are beams and no better ones seem likely; true when there are as many; 'never' when no better ones can be. */
  early_stopping: false as boolean | 'never',
  /** Seconds. */
  max_time: null as number | null,
  /** Texts that end generation; they stay in the output. Need `tokenizer`. */
  stop_strings: null as string | string[] | null,

  // ---- which strategy
  do_sample: false,
  num_beams: 1,
  num_return_sequences: 1,
  /** Of a beam's score, the power of its length that it is divided by. */
  length_penalty: 1,

  // ---- the cache
  use_cache: true,
  /** 'dynamic' (default), 'static', or 'quantized'. */
  cache_implementation: null as string | null,
  cache_config: null as Readonly<Record<string, unknown>> | null,
  /** Tokens of a static cache, where it should hold more than this call needs. */
  max_cache_len: null as number | null,

  // ---- what changes the scores
  temperature: 1,
  top_k: 50 as number | null,
  top_p: 1,
  min_p: null as number | null,
  top_h: null as number | null,
  typical_p: 1,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
  repetition_penalty: 1,
  encoder_repetition_penalty: 1,
  no_repeat_ngram_size: 0,
  encoder_no_repeat_ngram_size: 0,
  bad_words_ids: null as number[][] | null,
  /** [sequence of ids, what is added to the score of its last where the others stand before it] each. */
  sequence_bias: null as [ids: number[], bias: number][] | null,
  renormalize_logits: false,
  forced_bos_token_id: null as number | null,
  forced_eos_token_id: null as Ids,
  remove_invalid_values: false,
  /** [after so many new tokens, the end's score grows by this factor a token]. */
  exponential_decay_length_penalty: null as [start: number, factor: number] | null,
  suppress_tokens: null as number[] | null,
  begin_suppress_tokens: null as number[] | null,
  /** Above 1: further away from what `negative_prompt_ids` would give. */
  guidance_scale: null as number | null,

  // ---- what is told
  output_scores: false,
  output_logits: false,
  output_attentions: false,
  output_hidden_states: false,
  return_dict_in_generate: false,

  // ---- a helper that drafts
  num_assistant_tokens: 20,
  /** 'constant', 'heuristic' (adapts from call to call), or 'heuristic_transient' (within one). */
  num_assistant_tokens_schedule: 'constant',
  /** A draft ends at a token that is less probable than this. */
  assistant_confidence_threshold: 0.4,
  prompt_lookup_num_tokens: null as number | null,
  max_matching_ngram_size: null as number | null,

  // ---- tokens
  eos_token_id: null as Ids,
  pad_token_id: null as number | null,
  bos_token_id: null as number | null,
  /** Seed of this call's sampling; without it every call differs, unless manual_seed was called. */
  seed: null as number | null,
}

type Values = typeof defaults
export interface GenerationConfig extends Readonly<Values> {}

/** Keys of Python's GenerationConfig that change nothing at these values; any other value is not supported. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  num_beam_groups: [1],
  diversity_penalty: [0],
  penalty_alpha: [0],
  low_memory: [false],
  token_healing: [false],
  is_assistant: [false],
  use_mtp: [false],
  disable_compile: [false, true],
  assistant_lookbehind: [10],
  target_lookbehind: [10],
}

/** Keys that say where a config comes from, not what to do. */
const NOTES = ['transformers_version', '_from_model_config']

/** What a sampling flag is where it does nothing: set to anything else without sampling, it is warned of. */
const SAMPLING = [
  'temperature',
  'top_k',
  'top_p',
  'min_p',
  'top_h',
  'typical_p',
  'epsilon_cutoff',
  'eta_cutoff',
] as const
const BEAMS = ['early_stopping', 'length_penalty'] as const

/** Options of generation (transformers.GenerationConfig). A plain object is accepted wherever one is. */
export class GenerationConfig {
  readonly #given: Readonly<Record<string, unknown>>

  /** @throws UnsupportedOptionError for an option that is not supported, RushlightError for a value out of range */
  constructor(given: Readonly<Record<string, unknown>> = {}) {
    const own: Record<string, unknown> = {}
    for (const [key, value] of Object.entries(given)) {
      if (value === undefined) continue
      if (Object.hasOwn(defaults, key)) own[key] = value
      else if (!isNeutral(key, value))
        throw new UnsupportedOptionError(
          `generate: unsupported option ${key}. Supported: ${Object.keys(defaults).join(', ')}`,
        )
    }
    // A null is Python's "not set" where the default is a value.
    const set = Object.entries(own).filter(
      ([key, value]) => value !== null || key === 'top_k' || defaults[key as keyof Values] === null,
    )
    this.#given = given
    Object.assign(this, defaults, Object.fromEntries(set))
    this.check()
  }

  /** Reads a repository's generation_config.json; options of the Hub, and further options of generation. */
  static async from_pretrained(
    name: string,
    options: HubOptions & Readonly<Record<string, unknown>> = {},
  ): Promise<GenerationConfig> {
    const entries = Object.entries(options)
    const hub = Object.fromEntries(entries.filter(([key]) => HUB_OPTIONS.includes(key)))
    const own = Object.fromEntries(entries.filter(([key]) => !HUB_OPTIONS.includes(key)))
    const repository = await openRepository(name, hub)
    const file = 'generation_config.json'
    const given = await repository.json(file)
    if (!isObject(given)) throw new FileFormatError(`${name}/${file}`, 'text', 'a JSON object', shown(given))
    const { known, unknown } = splitRepositoryConfig(given)
    if (unknown.length > 0)
      warnOnce(`${name}/${file} asks for what is not supported and left out: ${unknown.join(', ')}`)
    return new GenerationConfig({ ...known, ...own })
  }

  /** Writes generation_config.json into a directory. */
  async save_pretrained(directory: SaveTarget): Promise<void> {
    await writeText(filesIn(directory)('generation_config.json'), pythonJson(this.to_diff_dict()))
  }

  /** A copy with other values. @throws as the constructor does */
  update(changes: Readonly<Record<string, unknown>>): GenerationConfig {
    return new GenerationConfig({ ...this.#given, ...changes })
  }

  /** What was said, without the defaults. @internal */
  static given(config: object): Readonly<Record<string, unknown>> {
    return config instanceof GenerationConfig ? config.#given : (config as Record<string, unknown>)
  }

  /** A plain object with every option. */
  to_dict(): Record<string, unknown> {
    return Object.fromEntries(Object.entries(this))
  }

  /** What differs from the defaults. */
  to_diff_dict(): Record<string, unknown> {
    return Object.fromEntries(Object.entries(this).filter(([key, value]) => value !== defaults[key as keyof Values]))
  }

  private check(): void {
    const require = (ok: boolean, name: keyof Values, expected: string) => {
      if (!ok) throw new RushlightError(`generate: ${name}: expected ${expected}, found ${JSON.stringify(this[name])}`)
    }
    const whole = (x: unknown, least: number) => x === null || (Number.isSafeInteger(x) && (x as number) >= least)
    const within = (x: unknown, most: number) => typeof x === 'number' && x >= 0 && x <= most
    const isId = (x: unknown) => whole(x, 0) && x !== null
    const areIds = (x: unknown) => x === null || (Array.isArray(x) && x.every(isId))
    for (const [name, least] of Object.entries({
      max_length: 1,
      max_new_tokens: 1,
      min_length: 0,
      min_new_tokens: 0,
      num_beams: 1,
      num_return_sequences: 1,
      no_repeat_ngram_size: 0,
      encoder_no_repeat_ngram_size: 0,
      num_assistant_tokens: 1,
      prompt_lookup_num_tokens: 1,
      max_matching_ngram_size: 1,
      max_cache_len: 1,
      seed: 0,
    } as const))
      require(whole(this[name as keyof Values], least), name as keyof Values, `a whole number from ${least} up`)
    for (const name of [
      'do_sample',
      'use_cache',
      'renormalize_logits',
      'remove_invalid_values',
      'output_scores',
      'output_logits',
      'output_attentions',
      'output_hidden_states',
      'return_dict_in_generate',
    ] as const)
      require(typeof this[name] === 'boolean', name, 'true or false')
    const warm = Number.isFinite(this.temperature) && this.temperature > 0
    require(!this.do_sample || warm, 'temperature', 'a number above 0 (do_sample: false is greedy)')
    require(whole(this.top_k, 0), 'top_k', 'a whole number from 1 up, or 0 for no limit')
    for (const name of [
      'top_p',
      'typical_p',
      'epsilon_cutoff',
      'eta_cutoff',
      'assistant_confidence_threshold',
    ] as const)
      require(within(this[name], 1), name, 'a number from 0 to 1')
    for (const name of ['min_p', 'top_h'] as const)
      require(this[name] === null || within(this[name], 1), name, 'a number from 0 to 1')
    for (const name of ['repetition_penalty', 'encoder_repetition_penalty'] as const)
      require(Number.isFinite(this[name]) && this[name] > 0, name, 'a number above 0')
    require(Number.isFinite(this.length_penalty), 'length_penalty', 'a number')
    require([true, false, 'never'].includes(this.early_stopping), 'early_stopping', "true, false or 'never'")
    require(this.max_time === null || this.max_time > 0, 'max_time', 'seconds above 0')
    require(this.guidance_scale === null || Number.isFinite(this.guidance_scale), 'guidance_scale', 'a number')
    const stops = this.stop_strings === null ? [] : [this.stop_strings].flat()
    require(stops.every((stop) => typeof stop === 'string' && stop !== ''), 'stop_strings', 'texts that are not empty')
    for (const name of ['eos_token_id', 'forced_eos_token_id'] as const)
      require(this[name] === null || areIds([this[name]].flat()), name, 'an id or a list of them')
    for (const name of ['pad_token_id', 'bos_token_id', 'forced_bos_token_id'] as const)
      require(whole(this[name], 0), name, 'an id')
    for (const name of ['suppress_tokens', 'begin_suppress_tokens'] as const)
      require(areIds(this[name]), name, 'a list of ids')
    const words = this.bad_words_ids
    require(words === null ||
      (Array.isArray(words) &&
        words.every((word) => word?.length > 0 && areIds(word))), 'bad_words_ids', 'a list of lists of ids')
    require(this.sequence_bias === null ||
      (Array.isArray(this.sequence_bias) &&
        this.sequence_bias.every(
          (entry) => entry?.length === 2 && entry[0]?.length > 0 && areIds(entry[0]) && typeof entry[1] === 'number',
        )), 'sequence_bias', 'a list of [ids, bias]')
    const decay = this.exponential_decay_length_penalty
    require(decay === null ||
      (whole(decay[0], 0) && decay[1] > 0), 'exponential_decay_length_penalty', '[start, factor]')
    const schedules = ['constant', 'heuristic', 'heuristic_transient']
    require(schedules.includes(this.num_assistant_tokens_schedule), 'num_assistant_tokens_schedule', schedules.join(
      ', ',
    ))
    if (this.num_return_sequences > 1 && this.num_beams === 1 && !this.do_sample)
      throw new RushlightError(
        `generate: num_return_sequences: greedy search has one result, found ${this.num_return_sequences}. Hint: do_sample: true, or num_beams`,
      )
    if (this.num_beams > 1 && this.num_return_sequences > this.num_beams)
      throw new RushlightError(
        `generate: num_return_sequences: at most num_beams (${this.num_beams}), found ${this.num_return_sequences}`,
      )
  }
}

/** Warns of what the caller sets for nothing: flags of sampling without sampling, of beams without beams. */
export function warnOfIdleFlags(config: GenerationConfig, caller: Readonly<Record<string, unknown>>): void {
  const idle = (flags: readonly (keyof Values)[], needs: string) => {
    for (const flag of flags)
      if (caller[flag] !== undefined && caller[flag] !== null && config[flag] !== defaults[flag])
        warnOnce(`generate: ${flag}: ${shown(config[flag])} has no effect without ${needs}`)
  }
  if (!config.do_sample) idle(SAMPLING, 'do_sample: true')
  if (config.num_beams === 1) idle(BEAMS, 'num_beams above 1')
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
