// Which files of a repository hold its weights, whatever their format.
import { FileError } from '../util/errors.ts'
import type { Checkpoint } from './checkpoint.ts'
import { openGgufOf } from './gguf.ts'
import type { Repository } from './repository.ts'
import { openSafetensors, openSafetensorsOf, SAFETENSORS_FILE, SAFETENSORS_INDEX } from './safetensors.ts'
import { openShards } from './shards.ts'
import { openTorch } from './torch.ts'

export const TORCH_FILE = 'pytorch_model.bin'
export const TORCH_INDEX = 'pytorch_model.bin.index.json'

/** What weights are looked for under, in this order. */
export const WEIGHT_FILES = [SAFETENSORS_FILE, SAFETENSORS_INDEX, TORCH_FILE, TORCH_INDEX] as const

/** The first of WEIGHT_FILES that a repository has. @throws FileError when it has none */
export async function weightFileOf(repository: Repository): Promise<(typeof WEIGHT_FILES)[number]> {
  for (const file of WEIGHT_FILES) if (await repository.has(file)) return file
  throw new FileError(
    `${repository.name}: expected one of ${WEIGHT_FILES.join(', ')}, found none of them. Hint: weights in a GGUF file are named by gguf_file`,
  )
}

/**
 * Opens the weights of a repository: the first of WEIGHT_FILES that it has, or the GGUF file of that name (the first one of a
 * split file stands for all). Tensors of a GGUF file are under its own names.
 * @throws FileError when there are none, FileFormatError when they are damaged
 */
export async function openCheckpointOf(
  repository: Repository,
  { gguf_file }: { gguf_file?: string } = {},
): Promise<Checkpoint> {
  if (gguf_file !== undefined) return openGgufOf(repository, gguf_file)
  switch (await weightFileOf(repository)) {
    case SAFETENSORS_FILE:
      return openSafetensors(await repository.open(SAFETENSORS_FILE))
    case SAFETENSORS_INDEX:
      return openSafetensorsOf(repository, SAFETENSORS_INDEX)
    case TORCH_FILE:
      return openTorch(await repository.open(TORCH_FILE))
    case TORCH_INDEX: {
      const { tensors, close } = await openShards(repository, TORCH_INDEX, openTorch)
      return { name: repository.name, tensors, close }
    }
  }
}
