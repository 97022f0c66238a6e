// pipeline(): a task's model, tokenizer and call in one, by name.
import type { FromPretrainedOptions } from '../models/auto.ts'
import { PreTrainedModel } from '../models/model.ts'
import { PreTrainedTokenizer } from '../tokenizers/tokenizer.ts'
import { checkOptions, RushlightError, shown, unsupported } from '../util/errors.ts'
import type { FeatureExtractionPipeline } from './feature-extraction.ts'
import type { TextGenerationPipeline } from './text-generation.ts'

/** The tasks and the type of each one's pipeline. */
export interface Pipelines {
  'text-generation': TextGenerationPipeline
  'feature-extraction': FeatureExtractionPipeline
}

/** How a pipeline is put together. */
interface Task {
  create(model: PreTrainedModel, tokenizer: PreTrainedTokenizer): unknown
  load(path: string, options: FromPretrainedOptions): Promise<PreTrainedModel>
}

const TASKS: Readonly<Record<keyof Pipelines, () => Promise<Task>>> = {
  'text-generation': async () => (await import('./text-generation.ts')).task,
  'feature-extraction': async () => (await import('./feature-extraction.ts')).task,
}

/** Options of pipeline(). */
export interface PipelineOptions extends Omit<FromPretrainedOptions, 'output_loading_info'> {
  /** A path, or a model that is loaded already (then with its tokenizer). */
  model?: string | PreTrainedModel
  tokenizer?: string | PreTrainedTokenizer
}

const LOADING = ['dtype', 'torch_dtype', 'device', 'device_map', 'config']

/**
 * Makes a pipeline: `pipeline(task, model?, options?)` or `pipeline(task, { model, … })` (transformers.pipeline).
 * @param task 'text-generation' or 'feature-extraction'
 * @throws UnsupportedOptionError for another task
 */
export async function pipeline<T extends keyof Pipelines>(
  task: T,
  model?: string | PreTrainedModel | PipelineOptions | null,
  options: PipelineOptions = {},
): Promise<Pipelines[T]> {
  if (!Object.hasOwn(TASKS, task)) throw unsupported('pipeline', 'task', task, Object.keys(TASKS))
  const isOptions = typeof model === 'object' && model !== null
  const named: PipelineOptions = isOptions ? { ...options, ...model } : { ...options, model: model ?? options.model }
  const { model: source, tokenizer: given, ...rest } = named
  checkOptions('pipeline', rest, LOADING)
  if (source === undefined || source === null)
    throw new RushlightError(`pipeline: no model is given. Hint: pipeline('${task}', './path-to-a-model')`)
  if (typeof source !== 'string' && !(source instanceof PreTrainedModel))
    throw new RushlightError(`pipeline: model: expected a path or a model, found ${shown(source)}`)
  const unused = Object.keys(rest).find((name) => rest[name as keyof typeof rest] !== undefined)
  if (typeof source !== 'string' && unused !== undefined)
    throw new RushlightError(`pipeline: the model is loaded already, so ${unused} has no effect. Hint: give its path`)
  const { create, load } = await TASKS[task]()
  const loaded = typeof source === 'string' ? await load(source, rest) : source
  try {
    return create(loaded, await tokenizerOf(source, given)) as Pipelines[T]
  } catch (error) {
    if (loaded !== source) loaded.dispose() // ours alone
    throw error
  }
}

async function tokenizerOf(
  model: string | PreTrainedModel,
  given: string | PreTrainedTokenizer | undefined,
): Promise<PreTrainedTokenizer> {
  if (given instanceof PreTrainedTokenizer) return given
  const path = given ?? (typeof model === 'string' ? model : undefined)
  if (path === undefined)
    throw new RushlightError('pipeline: a loaded model needs its tokenizer too. Hint: { model, tokenizer }')
  const { AutoTokenizer } = await import('../tokenizers/auto.ts')
  return AutoTokenizer.from_pretrained(path)
}
