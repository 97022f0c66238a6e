// Files: sources of bytes, model repositories, safetensors, GGUF and what torch.save writes.
export type { Checkpoint, Conversion, StoredTensor } from './checkpoint.ts'
export { dtypeIn, elementTypes, hasElements, readElements } from './elements.ts'
export {
  GGML_TYPES,
  type GgufCheckpoint,
  type GgufTensor,
  type GgufType,
  type GgufValue,
  openGguf,
  openGgufOf,
  writeGguf,
} from './gguf.ts'
export { LocalRepository, MemoryRepository, Repository } from './repository.ts'
export {
  openSafetensors,
  openSafetensorsOf,
  SAFETENSORS_FILE,
  SAFETENSORS_INDEX,
  type SafetensorsCheckpoint,
  type SafetensorsDType,
  type TensorToWrite,
  writeSafetensors,
  writeShardedSafetensors,
} from './safetensors.ts'
export { filesIn, type SaveTarget, writeText } from './saving.ts'
export { type ByteSink, bytesSink, fileSink } from './sink.ts'
export {
  blobSource,
  type ByteSource,
  bytesSource,
  type Destination,
  fileError,
  openFile,
  openUrl,
  readBytes,
} from './source.ts'
export { load_file, readTensor, save_file, toWrite } from './tensors.ts'
export { openTorch } from './torch.ts'
export { openCheckpointOf, TORCH_FILE, TORCH_INDEX, WEIGHT_FILES, weightFileOf } from './weights.ts'
