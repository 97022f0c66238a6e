// Configurations: a repository's config.json as an object with the architecture's defaults behind it.
import { RushlightError, shown } from '../util/errors.ts'
import { pythonJson } from '../util/json.ts'

/** Rotary positions, in transformers v5's spelling. */
export interface RopeParameters {
  rope_type: string
  rope_theta: number
  /** How much of each head is turned; all of it by default. */
  partial_rotary_factor?: number
  factor?: number | null
  original_max_position_embeddings?: number
  attention_factor?: number | null
  /** Of yarn. */
  beta_fast?: number | null
  beta_slow?: number | null
  mscale?: number | null
  mscale_all_dim?: number | null
  truncate?: boolean
  /** Of longrope: a number for each pair of dimensions. */
  short_factor?: number[]
  long_factor?: number[]
  /** Of llama3. */
  low_freq_factor?: number
  high_freq_factor?: number
}

const common = {
  architectures: null as string[] | null,
  dtype: null as string | null,
  pad_token_id: null as number | null,
  bos_token_id: null as number | null,
  eos_token_id: null as number | number[] | null,
  tie_word_embeddings: true,
  is_decoder: false,
  id2label: { 0: 'LABEL_0', 1: 'LABEL_1' } as Record<number, string>,
  problem_type: null as 'regression' | 'single_label_classification' | 'multi_label_classification' | null,
}

export interface PreTrainedConfig extends Readonly<typeof common> {
  readonly [key: string]: unknown
}

/** Keys whose values Python's configs refuse as integers. */
const FLOATS: ReadonlySet<string> = new Set([
  ...[
    'initializer_range',
    'init_std',
    'layer_norm_eps',
    'layer_norm_epsilon',
    'rms_norm_eps',
    'norm_eps',
    'norm_epsilon',
  ],
  ...['attn_logit_softcapping', 'final_logit_softcapping', 'clip_qkv', 'router_aux_loss_coef'],
  ...['time_step_scale', 'time_step_min', 'time_step_max', 'time_step_floor'],
])

/** Keys of a call that are not part of what a configuration is. */
const UNSAVED = ['attn_implementation', '_attn_implementation', '_name_or_path', '_commit_hash']

/**
 * Base of configurations (transformers.PreTrainedConfig). Keys keep the repository's spelling, unknown ones included;
 * those a repository does not say come from the architecture's defaults. A plain object is accepted wherever a config is.
 */
export class PreTrainedConfig {
  static readonly model_type: string = ''
  /** Defaults of the architecture. */
  static readonly defaults: Readonly<Record<string, unknown>> = {}
  /** Usual names of keys that the architecture calls otherwise: `{ hidden_size: 'n_embd' }`. Both can be given and read. */
  static readonly attribute_map: Readonly<Record<string, string>> = {}

  /** What was given, in its order and spelling. */
  readonly #given: Readonly<Record<string, unknown>>

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    const { model_type, defaults, attribute_map } = new.target
    const spelled = Object.entries(given).map(([key, value]) => [attribute_map[key] ?? key, value])
    const { num_labels, torch_dtype, ...rest } = Object.fromEntries(spelled) as Record<string, unknown>
    checkNumbers(model_type, defaults, rest)
    this.#given = given
    Object.assign(this, common, defaults, rest, { model_type })
    const own = this as Record<string, unknown>
    for (const [alias, key] of Object.entries(attribute_map))
      Object.defineProperty(this, alias, { get: () => own[key], set: (value) => (own[key] = value), enumerable: false })
    if (torch_dtype !== undefined && rest.dtype === undefined) own.dtype = torch_dtype
    // Python keeps the number of labels as the size of id2label.
    if (typeof num_labels === 'number' && rest.id2label === undefined)
      own.id2label = Object.fromEntries(Array.from({ length: num_labels }, (_, i) => [i, `LABEL_${i}`]))
  }

  /** Sets values that a config derives from its others; for constructors of subclasses. */
  protected derive(values: Record<string, unknown>): void {
    Object.assign(this, values)
  }

  /** Number of classes of a classification head. */
  get num_labels(): number {
    return Object.keys(this.id2label).length
  }

  /** Rotary settings as given, of all layers or by type of layer; Python takes `rope_scaling` first where a file has both. */
  ropeSettings(): Record<string, unknown> {
    const { rope_scaling, rope_parameters } = this
    if (isObject(rope_scaling) && Object.keys(rope_scaling).length > 0) return rope_scaling
    return isObject(rope_parameters) ? rope_parameters : {}
  }

  /** A plain object, as config.json holds it, with every default. */
  to_dict(): Record<string, unknown> {
    return { ...this }
  }

  /** What was given, in its spelling (`torch_dtype`, `rope_scaling` …), with what has been changed since and what differs from the defaults. */
  to_diff_dict(): Record<string, unknown> {
    const { model_type, defaults } = this.constructor as typeof PreTrainedConfig
    const standard: Record<string, unknown> = { ...common, ...defaults }
    const own: Record<string, unknown> = { ...this }
    const out: Record<string, unknown> = {}
    for (const key of Object.keys(this.#given)) {
      if (key === 'torch_dtype') out[key] = own.dtype
      else if (key !== 'num_labels' && Object.hasOwn(own, key)) out[key] = own[key]
    }
    for (const [key, value] of Object.entries(own)) {
      const said = Object.hasOwn(out, key) || (key === 'dtype' && Object.hasOwn(out, 'torch_dtype'))
      if (!said && JSON.stringify(value) !== JSON.stringify(standard[key])) out[key] = value
    }
    for (const key of UNSAVED) delete out[key]
    return { ...out, model_type }
  }

  /** The text of config.json. */
  to_json_string(): string {
    return pythonJson(this.to_diff_dict(), FLOATS)
  }
}

/** A config's keys with others in their places; another number of labels takes the labels' names away. */
export function replaceKeys(
  config: Readonly<Record<string, unknown>>,
  changes: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const { num_labels, id2label } = changes
  const { id2label: named, label2id, ...rest } = config
  const other = num_labels !== undefined && Object.keys(named ?? {}).length !== num_labels
  return { ...(other || id2label ? rest : config), ...changes }
}

/** Numbers that may be null: as many heads as queries have, no window, no cap. */
const OPTIONAL: readonly string[] = [
  'num_key_value_heads',
  'sliding_window',
  'attn_logit_softcapping',
  'final_logit_softcapping',
]

/** Refuses what is no number where the architecture has one, and sizes and counts that are none. */
function checkNumbers(
  model_type: string,
  defaults: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
): void {
  for (const [key, value] of Object.entries(given)) {
    if (typeof defaults[key] !== 'number' || key.endsWith('_token_id')) continue
    if (value === null && OPTIONAL.includes(key)) continue
    const counts = /^(num|max)_|_size$/.test(key)
    if (counts ? !(Number.isSafeInteger(value) && (value as number) > 0) : !Number.isFinite(value))
      throw new RushlightError(
        `config of ${model_type}: ${key}: expected ${counts ? 'a whole number from 1 up' : 'a number'}, found ${shown(value)}`,
      )
  }
}

/** Types of layers that have rotary settings of their own: the keys of `rope_parameters`, where it is nested. */
export function ropeLayerTypes(config: PreTrainedConfig): string[] {
  return Object.entries(config.ropeSettings()).flatMap(([key, value]) => (isObject(value) ? [key] : []))
}

/**
 * One rotary setting from all spellings there are: v5's `rope_parameters`, nested by type of layer or not, and `rope_theta` with
 * `rope_scaling` (`rope_type` or `type`). What lies beside it in the config is taken over as in Python.
 * @throws RushlightError when the settings are nested and have none of that type
 */
export function ropeParameters(config: PreTrainedConfig, layer_type?: string): RopeParameters {
  const nested = ropeLayerTypes(config)
  if (nested.length > 0 && !nested.includes(layer_type ?? ''))
    throw new RushlightError(
      `config: rope_parameters are given for layers of type ${nested.join(', ')}, expected those of ${layer_type ?? 'all layers'}`,
    )
  const all = config.ropeSettings()
  const { type, ...given } = (nested.length > 0 ? all[layer_type as string] : all) as Record<string, unknown>
  const rope_theta = given.rope_theta ?? config.rope_theta ?? 10000
  const named = given.rope_type ?? type ?? 'default'
  if (typeof rope_theta !== 'number' || typeof named !== 'string')
    throw new RushlightError(
      `config: rope_theta must be a number and rope_type a string, found ${JSON.stringify({ ...given, type })}`,
    )
  // Phi-3's first checkpoints call longrope `su` or `yarn`.
  const rope_type = named === 'su' || (named === 'yarn' && given.long_factor) ? 'longrope' : named
  const rope: Record<string, unknown> = { ...given, rope_theta, rope_type }
  const partial = given.partial_rotary_factor ?? config.partial_rotary_factor
  if (partial !== undefined && partial !== null) rope.partial_rotary_factor = partial
  if (['llama3', 'yarn', 'longrope'].includes(rope_type))
    rope.original_max_position_embeddings =
      (nested.length > 0 ? undefined : config.original_max_position_embeddings) ??
      given.original_max_position_embeddings ??
      config.max_position_embeddings
  return rope as unknown as RopeParameters
}

/** Whether a value is an object with keys. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
