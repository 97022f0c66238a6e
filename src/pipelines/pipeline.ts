// pipeline(): a task's model, tokenizer and call in one, by name.
import type { HubOptions } from '../hub/open.ts'
import type { FromPretrainedOptions } from '../models/pretrained.ts'
import { PreTrainedModel } from '../models/model.ts'
import { SOURCE_OPTIONS } from '../models/source.ts'
import { PreTrainedTokenizer } from '../tokenizers/tokenizer.ts'
import { checkOptions, RushlightError, shown, unsupported } from '../util/errors.ts'
import { warn } from '../util/warn.ts'
import type { FeatureExtractionPipeline } from './feature-extraction.ts'
import type { TextGenerationPipeline } from './text-generation.ts'

/** The tasks and the type of each one's pipeline. */
export interface Pipelines {
  'text-generation': TextGenerationPipeline
  'feature-extraction': FeatureExtractionPipeline
}

/** How a pipeline is put together. */
interface Task {
  /** Of the Hub, for who names none. */
  default_model: string
  /** `options` are those of every call. */
  create(model: PreTrainedModel, tokenizer: PreTrainedTokenizer, options: object): unknown
  load(path: string, options: FromPretrainedOptions): Promise<PreTrainedModel>
}

const TASKS: Readonly<Record<keyof Pipelines, () => Promise<Task>>> = {
  'text-generation': async () => (await import('./text-generation.ts')).task,
  'feature-extraction': async () => (await import('./feature-extraction.ts')).task,
}

/** Options of pipeline(): how the model is loaded; what remains are options of every call. */
export interface PipelineOptions extends HubOptions {
  /** A repository of the Hub, a path, or a model that is loaded already (then with its tokenizer). */
  model?: string | PreTrainedModel | null
  tokenizer?: string | PreTrainedTokenizer
  dtype?: string
  torch_dtype?: string
  device?: string
  device_map?: FromPretrainedOptions['device_map']
  config?: FromPretrainedOptions['config']
  trust_remote_code?: boolean
  gguf_file?: string
  /** Further options of from_pretrained. */
  model_kwargs?: FromPretrainedOptions
  readonly [call_option: string]: unknown
}

const LOADING: readonly string[] = [
  'dtype',
  'torch_dtype',
  'device',
  'device_map',
  'config',
  'trust_remote_code',
  ...SOURCE_OPTIONS,
]

/**
 * Makes a pipeline: `pipeline(task, model?, options?)` or `pipeline(task, { model, … })` (transformers.pipeline).
 * @param task 'text-generation' or 'feature-extraction'
 * @param model by default the task's own
 * @throws UnsupportedOptionError for another task or an unknown option
 */
export async function pipeline<T extends keyof Pipelines>(
  task: T,
  model?: string | PreTrainedModel | PipelineOptions | null,
  options: PipelineOptions = {},
): Promise<Pipelines[T]> {
  if (!Object.hasOwn(TASKS, task)) throw unsupported('pipeline', 'task', task, Object.keys(TASKS))
  checkOptions('pipeline', options, Object.keys(options ?? {})) // an object, whatever its keys
  const isOptions = typeof model === 'object' && model !== null
  const named: PipelineOptions = isOptions ? { ...options, ...model } : { ...options, model: model ?? options.model }
  const { model: given, tokenizer, model_kwargs = {}, ...rest } = named
  const { default_model, create, load } = await TASKS[task]()
  const source = given ?? default_model
  if (given === undefined || given === null)
    warn(`pipeline: no model is given, taking ${default_model}. Name one, since defaults may change.`)
  if (typeof source !== 'string' && !(source instanceof PreTrainedModel))
    throw new RushlightError(`pipeline: model: expected a name, a path or a model, found ${shown(source)}`)
  if ('output_loading_info' in model_kwargs)
    throw unsupported('pipeline', 'model_kwargs', 'output_loading_info', ['all other options of from_pretrained'])

  const entries = Object.entries(rest).filter(([, value]) => value !== undefined)
  const loading = { ...Object.fromEntries(entries.filter(([key]) => LOADING.includes(key))), ...model_kwargs }
  const calling = Object.fromEntries(entries.filter(([key]) => !LOADING.includes(key)))
  const from = Object.fromEntries(Object.entries(loading).filter(([key]) => SOURCE_OPTIONS.includes(key)))
  const [unused] = Object.keys(loading)
  if (typeof source !== 'string' && unused !== undefined)
    throw new RushlightError(`pipeline: the model is loaded already, so ${unused} has no effect. Hint: give its path`)
  const loaded = typeof source === 'string' ? await load(source, loading) : source
  try {
    const made = create(loaded, await tokenizerOf(source, tokenizer, from), calling) as Pipelines[T]
    if (typeof source === 'string') rest.progress_callback?.({ status: 'ready', task, model: source })
    return made
  } catch (error) {
    if (loaded !== source) loaded.dispose() // ours alone
    throw error
  }
}

async function tokenizerOf(
  model: string | PreTrainedModel,
  given: string | PreTrainedTokenizer | undefined,
  from: HubOptions & { gguf_file?: string },
): Promise<PreTrainedTokenizer> {
  if (given instanceof PreTrainedTokenizer) return given
  const path = given ?? (typeof model === 'string' ? model : undefined)
  if (path === undefined)
    throw new RushlightError('pipeline: a loaded model needs its tokenizer too. Hint: { model, tokenizer }')
  const { AutoTokenizer } = await import('../tokenizers/auto.ts')
  return AutoTokenizer.from_pretrained(path, from)
}
