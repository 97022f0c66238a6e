// What a name leads to: a model's config, its generation defaults and its weights, in a directory, a repository or a GGUF file.
import { HUB_OPTIONS, type HubOptions, openRepository } from '../hub/open.ts'
import {
  type Checkpoint,
  LocalRepository,
  openCheckpointOf,
  openGgufOf,
  type Repository,
  weightFileOf,
} from '../io/index.ts'
import { FileError, FileFormatError, RushlightError, shown } from '../util/errors.ts'
import { ggufCheckpoint, ggufConfig, ggufGenerationConfig } from './gguf/index.ts'

/** A model's files, opened. */
export interface ModelSource {
  /** What errors call it. */
  name: string
  config: Record<string, unknown>
  generation_config: Record<string, unknown>
  /** Bytes of the weights as they are stored, told without a download; 0 where nobody says. */
  weightBytes(): Promise<number>
  /** Opens the weights, under the checkpoint's names. */
  weights(): Promise<Checkpoint>
}

/** How a name is looked up. */
export interface SourceOptions extends HubOptions {
  /** The GGUF file of that name in the repository. */
  gguf_file?: string
}

/** The names of SourceOptions. */
export const SOURCE_OPTIONS: readonly string[] = [...HUB_OPTIONS, 'gguf_file']

/** Those of some options that say how a name is looked up. */
export function sourceOptions(options: object): SourceOptions {
  return Object.fromEntries(Object.entries(options).filter(([key]) => SOURCE_OPTIONS.includes(key)))
}

/**
 * Opens what a name leads to: a directory, a .gguf file, or a repository of the Hub.
 * @throws FileError when there is nothing, FileFormatError when it is damaged, HubError when the Hub refuses
 */
export async function openModel(name: string, { gguf_file, ...hub }: SourceOptions = {}): Promise<ModelSource> {
  if (typeof name !== 'string' || name === '')
    throw new RushlightError(`from_pretrained: expected a name or a path, found ${shown(name)}`)
  if (/\.gguf$/i.test(name)) {
    const [, folder = '.', file = name] = name.match(/^(.*)[\\/]([^\\/]+)$/) ?? []
    return openedGguf(new LocalRepository(folder || '/'), file, name)
  }
  const repository = await openRepository(name, hub)
  if (gguf_file !== undefined) return openedGguf(repository, gguf_file, name)
  const json = async (file: string) => {
    const value = await repository.json(file)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new FileFormatError(`${name}/${file}`, 'text', 'a JSON object', shown(value))
    return value as Record<string, unknown>
  }
  if (!(await repository.has('config.json'))) {
    const gguf = (await repository.list()).find((file) => /\.gguf$/i.test(file))
    const hint = gguf
      ? `give the file itself: gguf_file: '${gguf}'`
      : "a model's directory has config.json and model.safetensors"
    throw new FileError(`${name}: there is no config.json in it. Hint: ${hint}`)
  }
  return {
    name,
    config: await json('config.json'),
    generation_config: (await repository.has('generation_config.json')) ? await json('generation_config.json') : {},
    weightBytes: () => weightBytesOf(repository),
    weights: () => openCheckpointOf(repository),
  }
}

/** Bytes of the weights of a repository, told without a download. */
async function weightBytesOf(repository: Repository): Promise<number> {
  const file = await weightFileOf(repository)
  if (!file.endsWith('.json')) return repository.size(file)
  const { metadata } = (await repository.json(file)) as { metadata?: { total_size?: unknown } }
  return typeof metadata?.total_size === 'number' ? metadata.total_size : 0
}

/** A GGUF file of a repository. */
async function openedGguf(repository: Repository, file: string, name: string): Promise<ModelSource> {
  const opened = await openGgufOf(repository, file)
  try {
    return {
      name,
      config: await ggufConfig(opened),
      generation_config: ggufGenerationConfig(opened),
      weightBytes: () => repository.size(file),
      weights: async () => ggufCheckpoint(await openGgufOf(repository, file)),
    }
  } finally {
    await opened.close()
  }
}
