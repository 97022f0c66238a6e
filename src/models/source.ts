// What a name leads to: a model's config, its generation defaults and its weights, in a directory, a repository or a GGUF file.
import {
  type Checkpoint,
  type GgufCheckpoint,
  LocalRepository,
  openFile,
  openGguf,
  openSafetensorsOf,
  type StoredTensor,
} from '../io/index.ts'
import { FileError, FileFormatError, RushlightError, shown } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'
import { ggufConfig, ggufPlaces } from './gguf.ts'
import type { Place } from './loading.ts'

/** A model's files, opened. */
export interface ModelSource {
  /** What errors call it. */
  name: string
  config: Record<string, unknown>
  generation_config: Record<string, unknown>
  /** Opens the weights, under the checkpoint's names. */
  weights(): Promise<{ checkpoint: Checkpoint; rows: ReadonlyMap<string, Place['rows']> }>
}

/** Opens what a path names. @throws FileError when there is nothing, FileFormatError when it is damaged */
export async function openModel(path: string): Promise<ModelSource> {
  if (typeof path !== 'string' || path === '')
    throw new RushlightError(`from_pretrained: expected a path, found ${shown(path)}`)
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
    name: path,
    config: await json('config.json'),
    generation_config: (await repository.has('generation_config.json')) ? await json('generation_config.json') : {},
    weights: async () => ({ checkpoint: await openSafetensorsOf(repository), rows: new Map() }),
  }
}

async function openedGguf(path: string): Promise<ModelSource> {
  const file = await openGguf(await openFile(path))
  try {
    const config = ggufConfig(file.name, file.metadata, (name) => file.tensors.has(name))
    const { bos_token_id, eos_token_id, pad_token_id } = config
    return {
      name: path,
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
