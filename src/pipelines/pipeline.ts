// pipeline(): a task's model, tokenizer and call in one, by name.
import type { FromPretrainedOptions } from '../models/auto.ts'
import type { PreTrainedModel } from '../models/model.ts'
import { PreTrainedTokenizer } from '../tokenizers/tokenizer.ts'
import { RushlightError, unsupported } from '../util/errors.ts'
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
export interface PipelineOptions extends FromPretrainedOptions {
  /** A path, or a model that is loaded already (then with its tokenizer). */
  model?: string | PreTrainedModel
  tokenizer?: string | PreTrainedTokenizer
}

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
  const named =
    typeof model === 'string' || model === null || model === undefined || typeof model === 'function'
      ? { ...options, model: (model as string) ?? options.model }
      : { ...options, ...model }
  const { model: source, tokenizer: tokenizerSource, ...rest } = named
  if (source === undefined || source === null)
    throw new RushlightError(`pipeline: no model is given. Hint: pipeline('${task}', './path-to-a-model')`)
  const { create, load } = await TASKS[task]()
  const loaded = typeof source === 'string' ? await load(source, rest) : source
  return create(loaded, await tokenizerOf(source, tokenizerSource)) as Pipelines[T]
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
