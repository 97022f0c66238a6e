// from_pretrained and the Auto classes: from a path to a model of the architecture that its config names.
import {
  type Checkpoint,
  type GgufCheckpoint,
  LocalRepository,
  openFile,
  openGguf,
  openSafetensorsOf,
  type StoredTensor,
} from '../io/index.ts'
import { DEVICES, type DType, dtypeOf, isDtype, isFloating } from '../tensor/dtype.ts'
import { show } from '../tensor/shape.ts'
import { checkOptions, FileError, FileFormatError, RushlightError, shown, unsupported } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'
import { warn } from '../util/warn.ts'
import { ready } from '../wasm/index.ts'
import { PreTrainedConfig } from './config.ts'
import { ggufConfig, ggufPlaces } from './gguf.ts'
import { type LoadingInfo, loadWeights, type Place, placesBy } from './loading.ts'
import { type ModelClass, PreTrainedModel } from './model.ts'
import { architecture, modelClass, type Task } from './registry.ts'

/** Options of from_pretrained. */
export interface FromPretrainedOptions {
  /** 'auto' (default) keeps what is stored, quantized weights included; 'float32', 'bfloat16', 'float16'. */
  dtype?: string
  /** The older name of dtype. */
  torch_dtype?: string
  /** 'auto', 'cpu' or 'wasm': all mean the one device there is. */
  device?: string
  device_map?: string
  /** Used in place of the repository's. */
  config?: PreTrainedConfig | Record<string, unknown>
  /** Resolve to [model, what of the checkpoint did not fit] in place of the model. */
  output_loading_info?: boolean
}

const OPTIONS = ['dtype', 'torch_dtype', 'device', 'device_map', 'config', 'output_loading_info']

/** What a path holds. */
interface Opened {
  config: Record<string, unknown>
  generation_config: Record<string, unknown>
  /** Opens the weights, under the checkpoint's names. */
  weights(): Promise<{ checkpoint: Checkpoint; rows: ReadonlyMap<string, Place['rows']> }>
}

async function open(path: string): Promise<Opened> {
  if (typeof path !== 'string' || path === '')
    throw new RushlightError(`from_pretrained: expected a path, found ${JSON.stringify(path)}`)
  if (/\.gguf$/i.test(path)) return openedGguf(path)
  const fs = builtin('node:fs')
  if (!fs?.existsSync(path))
    throw new FileError(
      `${path}: there is no such directory or .gguf file. Hint: from_pretrained takes a local path; a repository of the Hub must be downloaded first`,
    )
  const repository = new LocalRepository(path)
  const json = async (file: string) => {
    const value = await repository.json(file)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new FileFormatError(`${path}/${file}`, 'text', 'a JSON object', shown(value))
    return value as Record<string, unknown>
  }
  if (!(await repository.has('config.json'))) {
    const gguf = fs.readdirSync(path).find((file) => /\.gguf$/i.test(file))
    const hint = gguf
      ? `give the file itself: ${path}/${gguf}`
      : "a model's directory has config.json and model.safetensors"
    throw new FileError(`${path}: there is no config.json in it. Hint: ${hint}`)
  }
  return {
    config: await json('config.json'),
    generation_config: (await repository.has('generation_config.json')) ? await json('generation_config.json') : {},
    weights: async () => ({ checkpoint: await openSafetensorsOf(repository), rows: new Map() }),
  }
}

async function openedGguf(path: string): Promise<Opened> {
  const file = await openGguf(await openFile(path))
  try {
    const config = ggufConfig(file.name, file.metadata, (name) => file.tensors.has(name))
    const { bos_token_id, eos_token_id, pad_token_id } = config
    return {
      config,
      generation_config: { bos_token_id, eos_token_id, pad_token_id },
      weights: async () => renamed(await openGguf(await openFile(path))),
    }
  } finally {
    await file.close()
  }
}

/** A GGUF file under the names of the checkpoint that it was made from. */
function renamed(file: GgufCheckpoint): { checkpoint: Checkpoint; rows: Map<string, Place['rows']> } {
  const places = ggufPlaces(file.name, file.metadata, file.tensors)
  const tensors = new Map<string, StoredTensor>()
  const rows = new Map<string, Place['rows']>()
  for (const [found, place] of places) {
    tensors.set(place.name, file.tensors.get(found) as StoredTensor)
    rows.set(place.name, place.rows)
  }
  return { checkpoint: { name: file.name, tensors, close: () => file.close() }, rows }
}

function dtypeWanted(options: FromPretrainedOptions): DType | 'auto' {
  const name = options.dtype ?? options.torch_dtype ?? 'auto'
  if (name === 'auto') return name
  const dtype = isDtype(name) ? dtypeOf(name) : null
  if (dtype === null || !isFloating(dtype))
    throw unsupported('from_pretrained', 'dtype', name, ['auto', 'float32', 'bfloat16', 'float16'])
  return dtype
}

/** Loads a model of the class that `choose` finds for the config. */
export async function fromPretrained(
  path: string,
  choose: (config: Record<string, unknown>) => Promise<ModelClass>,
  options: FromPretrainedOptions = {},
): Promise<PreTrainedModel> {
  checkOptions('from_pretrained', options, OPTIONS)
  for (const name of ['device', 'device_map'] as const)
    if (options[name] !== undefined && !DEVICES.includes(options[name]))
      throw unsupported('from_pretrained', name, options[name], DEVICES)
  const dtype = dtypeWanted(options)
  const opened = await open(path)
  const given = options.config instanceof PreTrainedConfig ? options.config.to_dict() : options.config
  const config = { ...opened.config, ...given }
  const Model = await choose(config)
  await ready()
  const model = new Model(config).eval() as PreTrainedModel
  try {
    const { checkpoint, rows } = await opened.weights()
    try {
      const info = await load(model, Model, checkpoint, rows, dtype)
      model.generation_config = { ...generationDefaults(model.config), ...opened.generation_config }
      return options.output_loading_info ? ([model, info] as unknown as PreTrainedModel) : model
    } finally {
      await checkpoint.close()
    }
  } catch (error) {
    model.dispose()
    throw error
  }
}

async function load(
  model: PreTrainedModel,
  Model: ModelClass,
  checkpoint: Checkpoint,
  rows: ReadonlyMap<string, Place['rows']>,
  dtype: DType | 'auto',
): Promise<LoadingInfo> {
  const by = placesBy(Model, model, checkpoint)
  const place = (name: string) => {
    const found = by(name)
    return found && { ...found, rows: rows.get(name) }
  }
  const info = await loadWeights(model, checkpoint, { dtype, place, strict: false })
  judge(Model, checkpoint.name, info)
  return info
}

/** A missing or foreign head is worth a warning, as in Python; anything else that does not fit is an error. */
function judge(Model: ModelClass, file: string, { missing_keys, unexpected_keys, mismatched_keys }: LoadingInfo): void {
  const { base_model_prefix: prefix, name } = Model
  const inBase = (key: string) => prefix === '' || key.startsWith(`${prefix}.`)
  const lost = missing_keys.filter(inBase)
  const strange = unexpected_keys.filter((key) => inBase(key) && prefix !== '')
  const lines = [
    ...(lost.length ? [`missing: ${some(lost)}`] : []),
    ...(strange.length ? [`unexpected: ${some(strange)}`] : []),
    ...(mismatched_keys.length
      ? [
          `mis-shaped: ${some(mismatched_keys.map(([key, found, expected]) => `${key}: expected ${show(expected)}, found ${show(found)}`))}`,
        ]
      : []),
  ]
  if (lines.length)
    throw new RushlightError(
      `${file}: the weights do not fit ${name}. ${lines.join('. ')}. Hint: does config.json belong to this file?`,
    )
  const fresh = missing_keys.filter((key) => !inBase(key))
  if (fresh.length)
    warn(
      `${file}: ${name} has weights that the file has not; they are newly initialized: ${some(fresh)}. Train the model before use.`,
    )
  const left = unexpected_keys.filter((key) => !strange.includes(key))
  if (left.length) warn(`${file}: weights that ${name} does not use: ${some(left)}`)
}

/** The first names of a list, and how many more there are. */
function some(names: readonly string[]): string {
  const shownNames = names.slice(0, 8).join(', ')
  return names.length > 8 ? `${shownNames} and ${names.length - 8} more` : shownNames
}

function generationDefaults({ bos_token_id, eos_token_id, pad_token_id }: PreTrainedConfig): Record<string, unknown> {
  return { bos_token_id, eos_token_id, pad_token_id }
}

/** A configuration by its model_type. */
export const AutoConfig = {
  /** Reads a directory's config.json, or a GGUF file's metadata. */
  async from_pretrained(path: string): Promise<PreTrainedConfig> {
    const { config } = await open(path)
    return new (await architecture(config.model_type)).config(config)
  },
  /** The class that belongs to a `model_type`, filled with what is given. */
  async for_model(model_type: string, given: Record<string, unknown> = {}): Promise<PreTrainedConfig> {
    return new (await architecture(model_type)).config(given)
  },
}

function auto(task: Task) {
  return {
    /**
     * Loads a model from a directory in Hugging Face's layout or a .gguf file, in eval mode.
     * @throws RushlightError naming every weight that does not fit; UnsupportedOptionError for an option or architecture that there is not
     */
    from_pretrained: (path: string, options?: FromPretrainedOptions): Promise<PreTrainedModel> =>
      fromPretrained(path, (config) => modelClass(config.model_type, task), options),
    /** A new model with initial weights. Allocates nothing until it is used. */
    async from_config(config: PreTrainedConfig | Record<string, unknown>): Promise<PreTrainedModel> {
      const { model_type } = config instanceof PreTrainedConfig ? config.to_dict() : config
      const Model = await modelClass(model_type, task)
      return new Model(config) as PreTrainedModel
    },
  }
}

export const AutoModel = auto('base')
export const AutoModelForCausalLM = auto('causal-lm')
export const AutoModelForMaskedLM = auto('masked-lm')
export const AutoModelForSequenceClassification = auto('sequence-classification')

declare module './model.ts' {
  namespace PreTrainedModel {
    /** Loads a model of this class. See AutoModel.from_pretrained. */
    function from_pretrained<M extends PreTrainedModel>(
      this: abstract new (
        config: never,
      ) => M,
      path: string,
      options?: FromPretrainedOptions,
    ): Promise<M>
  }
}

Object.assign(PreTrainedModel, {
  from_pretrained(this: ModelClass, path: string, options?: FromPretrainedOptions) {
    return fromPretrained(path, async () => this, options)
  },
})
