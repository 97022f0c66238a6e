// safetensors files as tensors: load_file and save_file, as in Python's safetensors.torch.
import type { DType } from '../tensor/dtype.ts'
import { Tensor } from '../tensor/tensor.ts'
import { u8View } from '../wasm/index.ts'
import type { StoredTensor } from './checkpoint.ts'
import { dtypeIn, readElements } from './elements.ts'
import { openSafetensors, type SafetensorsDType, type TensorToWrite, writeSafetensors } from './safetensors.ts'
import { type ByteSink, fileSink } from './sink.ts'
import { type ByteSource, openFile } from './source.ts'

const NAMES: Readonly<Record<DType, SafetensorsDType>> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int8: 'I8',
  uint8: 'U8',
  bool: 'BOOL',
}

/** Reads a tensor of a file. */
export async function readTensor(stored: StoredTensor): Promise<Tensor> {
  const tensor = Tensor.empty(stored.shape, dtypeIn(stored), 'load_file')
  tensor.moveTo(null)
  try {
    await readElements(stored, 0, tensor.numel(), () => tensor.view1d())
  } catch (error) {
    tensor.dispose()
    throw error
  }
  return tensor
}

/**
 * All tensors of a safetensors file by name. Types that tensors do not have are converted: F64 becomes float32, I16 int32 …
 * @throws FileFormatError when the file is damaged, DTypeError for a type that no dtype is like
 */
export async function load_file(file: string | ByteSource): Promise<Record<string, Tensor>> {
  const checkpoint = await openSafetensors(typeof file === 'string' ? await openFile(file) : file)
  const tensors: Record<string, Tensor> = Object.create(null) // a tensor may be called __proto__
  try {
    for (const [name, stored] of checkpoint.tensors) tensors[name] = await readTensor(stored)
    return tensors
  } catch (error) {
    for (const tensor of Object.values(tensors)) tensor.dispose()
    throw error
  } finally {
    await checkpoint.close()
  }
}

/**
 * Writes tensors to a safetensors file, which Python reads. The file appears when it is whole.
 * @param metadata strings for its header
 */
export async function save_file(
  tensors: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
  file: string | ByteSink,
  metadata?: Record<string, string>,
): Promise<void> {
  const entries = tensors instanceof Map ? [...tensors] : Object.entries(tensors)
  const sink = typeof file === 'string' ? fileSink(file) : file
  await writeSafetensors(
    sink,
    entries.map(([name, tensor]) => toWrite(name, tensor)),
    metadata,
  )
}

/** A tensor as writeSafetensors takes it. */
export function toWrite(name: string, tensor: Tensor): TensorToWrite {
  return {
    name,
    dtype: NAMES[tensor.dtype],
    shape: tensor.shape,
    data() {
      if (tensor.is_contiguous()) return u8View(tensor.ptr, tensor.numel() * tensor.element_size())
      const { buffer, byteOffset, byteLength } = tensor.data
      return new Uint8Array(buffer, byteOffset, byteLength)
    },
  }
}
