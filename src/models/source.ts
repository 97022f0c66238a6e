// What a name leads to: a model's config, its generation defaults and its weights, in a directory, a repository or a GGUF file.
import { type Checkpoint, LocalRepository, openCheckpointOf, openGgufOf, type Repository } from '../io/index.ts'
import { FileError, FileFormatError, RushlightError, shown } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'
import { ggufCheckpoint, ggufConfig, ggufGenerationConfig } from './gguf/index.ts'

/** A model's files, opened. */
export interface ModelSource {
  /** What errors call it. */
  name: string
  config: Record<string, unknown>
  generation_config: Record<string, unknown>
  /** Opens the weights, under the checkpoint's names. */
  weights(): Promise<Checkpoint>
}

/** Opens what a path names, or the GGUF file of that name in it. @throws FileError when there is nothing, FileFormatError when it is damaged */
export async function openModel(path: string, gguf_file?: string): Promise<ModelSource> {
  if (typeof path !== 'string' || path === '')
    throw new RushlightError(`from_pretrained: expected a path, found ${shown(path)}`)
  if (/\.gguf$/i.test(path)) {
    const [, folder = '.', file = path] = path.match(/^(.*)[\\/]([^\\/]+)$/) ?? []
    return openedGguf(new LocalRepository(folder || '/'), file, path)
  }
  const fs = builtin('node:fs')
  if (!fs?.existsSync(path))
    throw new FileError(
      `${path}: there is no such directory or .gguf file. Hint: from_pretrained takes a local path; a repository of the Hub must be downloaded first`,
    )
  const repository = new LocalRepository(path)
  if (gguf_file !== undefined) return openedGguf(repository, gguf_file, path)
  const json = async (file: string) => {
    const value = await repository.json(file)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new FileFormatError(`${path}/${file}`, 'text', 'a JSON object', shown(value))
    return value as Record<string, unknown>
  }
  if (!(await repository.has('config.json'))) {
    const gguf = fs.readdirSync(path).find((file) => /\.gguf$/i.test(file))
    const hint = gguf
      ? `give the file itself: gguf_file: '${gguf}'`
      : "a model's directory has config.json and model.safetensors"
    throw new FileError(`${path}: there is no config.json in it. Hint: ${hint}`)
  }
  return {
    name: path,
    config: await json('config.json'),
    generation_config: (await repository.has('generation_config.json')) ? await json('generation_config.json') : {},
    weights: () => openCheckpointOf(repository),
  }
}

/** A GGUF file of a repository. */
async function openedGguf(repository: Repository, file: string, name: string): Promise<ModelSource> {
  const opened = await openGgufOf(repository, file)
  try {
    return {
      name,
      config: await ggufConfig(opened),
      generation_config: ggufGenerationConfig(opened),
      weights: async () => ggufCheckpoint(await openGgufOf(repository, file)),
    }
  } finally {
    await opened.close()
  }
}
