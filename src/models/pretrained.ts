// from_pretrained: options, the model of the architecture that a config names, and its weights judged against what it expects.
import type { Checkpoint } from '../io/index.ts'
import { Embedding, Linear } from '../nn/layers.ts'
import { BLOCK, FORMAT_NAMES, type FormatName, formatOf, isFormat, rowBytes } from '../quant/formats.ts'
import { DEVICES, type DType, DTYPES, dtypeOf, isDtype, isFloating } from '../tensor/dtype.ts'
import { show } from '../tensor/shape.ts'
import { checkOptions, RushlightError, shown, unsupported, UnsupportedOptionError } from '../util/errors.ts'
import { warn } from '../util/warn.ts'
import { checkRoom, ready } from '../wasm/index.ts'
import { PreTrainedConfig, replaceKeys } from './config.ts'
import { type LoadingInfo, loadWeights, placesBy } from './loading.ts'
import type { ModelClass, PreTrainedModel } from './model.ts'
import { type ModelSource, openModel, SOURCE_OPTIONS, type SourceOptions, sourceOptions } from './source.ts'

/** Options of from_pretrained. A key of the architecture's config (`num_labels`, `id2label` …) is one too, and replaces the repository's. */
export interface FromPretrainedOptions extends SourceOptions {
  /** 'auto' (default) keeps what is stored, quantized weights included; 'float32', 'bfloat16', 'float16'; 'q8' or 'q4' rounds to blocks while loading. */
  dtype?: string
  /** The older name of dtype. */
  torch_dtype?: string
  /** 'auto', 'cpu' or 'wasm': all mean the one device there is. */
  device?: string
  device_map?: string | Readonly<Record<string, string>>
  /** `{ load_in_8bit: true }` and `{ load_in_4bit: true }` mean dtype 'q8' and 'q4'. */
  quantization_config?: Readonly<Record<string, unknown>>
  /** 'sdpa' (default): fused; 'eager': step by step, for `output_attentions`. */
  attn_implementation?: string
  /** Used in place of the repository's. */
  config?: PreTrainedConfig | Readonly<Record<string, unknown>>
  /** In place of the repository's. */
  generation_config?: Readonly<Record<string, unknown>>
  /** Weights of another shape than the model's are left at their initial values, with a warning, in place of an error. */
  ignore_mismatched_sizes?: boolean
  /** Resolve to [model, what of the checkpoint did not fit] in place of the model. */
  output_loading_info?: boolean
  /** Must be false: no code of a repository is ever run. */
  trust_remote_code?: boolean
  /** Always so: files are read straight into place. */
  low_cpu_mem_usage?: boolean
  readonly [config_key: string]: unknown
}

const OPTIONS = [
  'dtype',
  'torch_dtype',
  'device',
  'device_map',
  'quantization_config',
  'attn_implementation',
  ...SOURCE_OPTIONS,
  'config',
  'generation_config',
  'ignore_mismatched_sizes',
  'output_loading_info',
  'trust_remote_code',
  'low_cpu_mem_usage',
]
const FLOATS = ['float32', 'bfloat16', 'float16']

/** How weights are kept. */
interface Precision {
  dtype: DType | 'auto'
  /** Format of the linear layers, where they are rounded while loading. */
  blocks: FormatName | null
}

/** Loads a model of the class that `choose` finds for the config. */
export async function fromPretrained(
  path: string,
  choose: (config: Record<string, unknown>) => Promise<ModelClass>,
  options: FromPretrainedOptions = {},
): Promise<PreTrainedModel> {
  const { own, rest } = splitOptions(options)
  const precision = precisionOf(own)
  const source = await openModel(path, sourceOptions(own))
  if (source.config.quantization_config)
    throw unsupported(source.name, 'quantization_config of config.json', source.config.quantization_config, [
      'none: ordinary weights, or GGUF',
    ])
  const given = own.config instanceof PreTrainedConfig ? own.config.to_dict() : own.config
  const merged = { ...source.config, ...given }
  const Model = await choose(merged)
  checkKeys(Model, merged, rest)
  const config = new Model.config_class({
    ...replaceKeys(merged, rest),
    ...(own.attn_implementation && { attn_implementation: own.attn_implementation }),
  })
  await ready()
  checkRoom(await bytesExpected(source, precision), `${source.name} as ${Model.name}`)
  const model = new Model(config).eval() as PreTrainedModel
  try {
    const checkpoint = await source.weights()
    try {
      const info = await load(model, Model, checkpoint, precision, own.ignore_mismatched_sizes ?? false)
      model.generation_config = own.generation_config ?? {
        ...generationDefaults(model.config),
        ...source.generation_config,
      }
      return own.output_loading_info ? ([model, info] as unknown as PreTrainedModel) : model
    } finally {
      await checkpoint.close()
    }
  } catch (error) {
    model.dispose()
    throw error
  }
}

/** Bytes that the weights will take at least, from what is known before a download; 0 where too little is. */
async function bytesExpected(source: ModelSource, { dtype, blocks }: Precision): Promise<number> {
  const stored = source.config.dtype ?? source.config.torch_dtype
  const bytes = await source.weightBytes()
  if (dtype === 'auto' && !blocks) return bytes
  if (!isDtype(stored)) return 0
  const each = blocks ? rowBytes(blocks, BLOCK) / BLOCK : DTYPES[dtype as DType].bytes
  return (bytes / DTYPES[dtypeOf(stored)].bytes) * each
}

/** Refuses values that there are not, and tells options from keys of the config. */
function splitOptions(options: FromPretrainedOptions): { own: FromPretrainedOptions; rest: Record<string, unknown> } {
  checkOptions('from_pretrained', options, Object.keys(options ?? {})) // an object, whatever its keys
  const entries = Object.entries(options).filter(([, value]) => value !== undefined && value !== null)
  const own: FromPretrainedOptions = Object.fromEntries(entries.filter(([key]) => OPTIONS.includes(key)))
  const rest = Object.fromEntries(entries.filter(([key]) => !OPTIONS.includes(key)))
  const oneOf = (name: string, value: unknown, supported: readonly unknown[]) => {
    if (value !== undefined && !supported.includes(value)) throw unsupported('from_pretrained', name, value, supported)
  }
  const { device_map } = own
  oneOf('device', own.device, DEVICES)
  for (const device of typeof device_map === 'object' ? Object.values(device_map) : [device_map])
    oneOf('device_map', device, DEVICES)
  oneOf('attn_implementation', own.attn_implementation, ['sdpa', 'eager'])
  oneOf('low_cpu_mem_usage', own.low_cpu_mem_usage, [true, false])
  for (const name of ['config', 'generation_config'] as const)
    if (own[name] !== undefined && typeof own[name] !== 'object')
      throw new RushlightError(`from_pretrained: ${name}: expected an object, found ${shown(own[name])}`)
  if (own.trust_remote_code)
    throw new UnsupportedOptionError(
      'from_pretrained: trust_remote_code: true is not supported: rushlight never runs code of a repository. Supported: false. Hint: the architecture must be one that rushlight has, or one that was registered (AutoModel.register)',
    )
  return { own, rest }
}

/** @throws UnsupportedOptionError for what is neither an option nor a key of the config */
function checkKeys(Model: ModelClass, given: Record<string, unknown>, rest: Record<string, unknown>): void {
  const keys = new Set([...Object.keys(given), ...Object.keys(new Model.config_class()), 'num_labels'])
  const unknown = Object.keys(rest).find((key) => !keys.has(key))
  if (unknown !== undefined)
    throw new UnsupportedOptionError(
      `from_pretrained: unsupported option ${unknown}. Supported: ${OPTIONS.join(', ')}, and the keys of ${Model.config_class.name}`,
    )
}

function precisionOf({ dtype, torch_dtype, quantization_config }: FromPretrainedOptions): Precision {
  const name = dtype ?? torch_dtype ?? 'auto'
  if (quantization_config) return { dtype: 'auto', blocks: blocksOf(quantization_config) }
  if (name === 'auto') return { dtype: 'auto', blocks: null }
  if (typeof name === 'string' && isFormat(name)) return { dtype: 'auto', blocks: formatOf(name) }
  const found = isDtype(name) ? dtypeOf(name) : null
  if (found === null || !isFloating(found))
    throw unsupported('from_pretrained', 'dtype', name, ['auto', ...FLOATS, ...FORMAT_NAMES])
  return { dtype: found, blocks: null }
}

function blocksOf(given: Readonly<Record<string, unknown>>): FormatName | null {
  checkOptions('quantization_config', given, ['load_in_8bit', 'load_in_4bit'])
  if (given.load_in_8bit && given.load_in_4bit)
    throw new RushlightError('quantization_config: expected one of load_in_8bit and load_in_4bit, found both')
  return given.load_in_4bit ? formatOf('q4') : given.load_in_8bit ? formatOf('q8') : null
}

/** Weights narrower than this stay as they are: routers and classifiers are small, and feel rounding most. */
const FEWEST_ROWS = 32

/** The format of each weight that is rounded: linear layers in the one that is asked for, token embeddings and a head tied to them in 8 bits. */
function roundedTo(model: PreTrainedModel, blocks: FormatName): Map<string, FormatName> {
  const formats = new Map<string, FormatName>()
  const tokens = model.get_input_embeddings()
  for (const [path, module] of model.named_modules()) {
    if (module === tokens) formats.set(`${path}.weight`, 'q8_0')
    else if (module.constructor === Linear) {
      const tied = tokens instanceof Embedding && (module as Linear).weight === tokens.weight
      formats.set(`${path}.weight`, tied ? 'q8_0' : blocks)
    }
  }
  return formats
}

async function load(
  model: PreTrainedModel,
  Model: ModelClass,
  checkpoint: Checkpoint,
  { dtype, blocks }: Precision,
  ignoreMismatched: boolean,
): Promise<LoadingInfo> {
  const place = placesBy(Model, model, checkpoint)
  const formats = blocks && roundedTo(model, blocks)
  const quantize = formats
    ? (name: string, [N, K]: readonly number[]) => (N >= FEWEST_ROWS && K % 32 === 0 ? formats.get(name) : undefined)
    : undefined
  const info = await loadWeights(model, checkpoint, { dtype, quantize, place, strict: false })
  judge(Model, checkpoint.name, info, ignoreMismatched)
  return info
}

/** A missing or foreign head is worth a warning, as in Python; anything else that does not fit is an error. */
function judge(
  Model: ModelClass,
  file: string,
  { missing_keys, unexpected_keys, mismatched_keys }: LoadingInfo,
  ignoreMismatched: boolean,
): void {
  const { base_model_prefix: prefix, name } = Model
  const inBase = (key: string) => prefix === '' || key.startsWith(`${prefix}.`)
  const lost = missing_keys.filter((key) => inBase(key) && !Model.may_miss.some((pattern) => pattern.test(key)))
  const strange = unexpected_keys.filter((key) => inBase(key) && prefix !== '')
  const misfits = mismatched_keys.map(
    ([key, found, expected]) => `${key}: expected ${show(expected)}, found ${show(found)}`,
  )
  const lines = [
    ...(lost.length ? [`missing: ${some(lost)}`] : []),
    ...(strange.length ? [`unexpected: ${some(strange)}`] : []),
    ...(misfits.length && !ignoreMismatched ? [`mis-shaped: ${some(misfits)}`] : []),
  ]
  if (lines.length)
    throw new RushlightError(
      `${file}: the weights do not fit ${name}. ${lines.join('. ')}. Hint: ${lost.length || strange.length ? 'does config.json belong to this file?' : 'ignore_mismatched_sizes: true starts them anew'}`,
    )
  const fresh = [...missing_keys.filter((key) => !lost.includes(key)), ...mismatched_keys.map(([key]) => key)]
  if (fresh.length)
    warn(
      `${file}: ${name} has weights that the file has not; they are newly initialized: ${some(fresh)}. Train the model before use.`,
    )
  const left = unexpected_keys.filter((key) => !strange.includes(key))
  if (left.length) warn(`${file}: weights that ${name} does not use: ${some(left)}`)
}

/** The first names of a list, and how many more there are. */
function some(names: readonly string[]): string {
  const first = names.slice(0, 8).join(', ')
  return names.length > 8 ? `${first} and ${names.length - 8} more` : first
}

function generationDefaults({ bos_token_id, eos_token_id, pad_token_id }: PreTrainedConfig): Record<string, unknown> {
  return { bos_token_id, eos_token_id, pad_token_id }
}
