// A model in several weight files, by an index that says which tensor is in which: *.safetensors.index.json, *.bin.index.json.
import { FileFormatError, shown } from '../util/errors.ts'
import { duplicateKey, isObject } from '../util/json.ts'
import type { Checkpoint, StoredTensor } from './checkpoint.ts'
import type { Repository } from './repository.ts'
import type { ByteSource } from './source.ts'

/** The shards of an index, opened. */
export interface Shards<C extends Checkpoint> {
  shards: readonly C[]
  tensors: Map<string, StoredTensor>
  close(): Promise<void>
}

/**
 * Opens the shards that an index lists. Every tensor of the index must be in its shard, and the shards must hold nothing else.
 * @param open how one of them is opened
 * @throws FileFormatError naming the index, the shard and the tensor that do not go together
 */
export async function openShards<C extends Checkpoint>(
  repository: Repository,
  index: string,
  open: (source: ByteSource) => Promise<C>,
): Promise<Shards<C>> {
  const name = `${repository.name}/${index}`
  const wrong = (field: string, expected: string, found: string) => new FileFormatError(name, field, expected, found)
  const shardOf = readWeightMap(await repository.text(index), wrong)
  const folder = index.slice(0, index.lastIndexOf('/') + 1)
  const shards = new Map<string, C>()
  const close = async () => {
    for (const shard of shards.values()) await shard.close()
  }
  try {
    for (const shard of new Set(shardOf.values())) {
      if (!(await repository.has(folder + shard)))
        throw wrong('weight_map', `the shard ${shown(shard)} beside the index`, 'no such file')
      shards.set(shard, await open(await repository.open(folder + shard)))
    }
    const tensors = new Map<string, StoredTensor>()
    for (const [shard, opened] of shards)
      for (const [tensor, stored] of opened.tensors) {
        if (shardOf.get(tensor) !== shard)
          throw wrong(`weight_map.${shown(tensor)}`, shown(shard), shown(shardOf.get(tensor)))
        tensors.set(tensor, stored)
      }
    for (const [tensor, shard] of shardOf)
      if (!tensors.has(tensor))
        throw new FileFormatError(
          `${repository.name}/${folder}${shard}`,
          `tensor ${shown(tensor)}`,
          `to be there, as ${index} says`,
          'nothing of that name',
        )
    return { shards: [...shards.values()], tensors, close }
  } catch (error) {
    await close()
    throw error
  }
}

function readWeightMap(
  text: string,
  wrong: (field: string, expected: string, found: string) => Error,
): Map<string, string> {
  let index: unknown
  try {
    index = JSON.parse(text)
  } catch (cause) {
    throw wrong('index', 'JSON', shown((cause as Error).message))
  }
  const twice = duplicateKey(text)
  if (twice !== undefined) throw wrong('index', 'each key once', `${shown(twice)} twice`)
  const map = isObject(index) && Object.hasOwn(index, 'weight_map') ? index.weight_map : undefined
  if (!isObject(map)) throw wrong('weight_map', 'an object of file names by tensor name', shown(map))
  for (const [tensor, shard] of Object.entries(map))
    if (typeof shard !== 'string') throw wrong(`weight_map.${shown(tensor)}`, "a file's name", shown(shard))
  return new Map(Object.entries(map as Record<string, string>))
}
