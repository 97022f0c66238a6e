// The public API.
import './ops/index.ts' // gives Tensor its methods
export { GenerationConfig } from './generation/config.ts'
export { type GenerateOptions, generate } from './generation/generate.ts'
export type { LogitsProcessor } from './generation/logits-process.ts'
export type { GenerateOutput } from './generation/output.ts'
export type { StoppingCriteria } from './generation/stopping-criteria.ts'
export {
  type Streamer,
  TextIteratorStreamer,
  TextStreamer,
  type TextStreamerOptions,
} from './generation/streamers.ts'
export {
  _CACHED_NO_EXIST,
  are_progress_bars_disabled,
  CorruptDownloadError,
  type CustomCache,
  disable_progress_bars,
  enable_progress_bars,
  EntryNotFoundError,
  env,
  FileMetadataError,
  GatedRepoError,
  get_token,
  get_verbosity,
  hf_hub_download,
  HfHubHTTPError,
  HubError,
  type HubOptions,
  LocalEntryNotFoundError,
  login,
  logout,
  notebook_login,
  openRepository,
  type ProgressCallback,
  type ProgressInfo,
  RepositoryNotFoundError,
  RevisionNotFoundError,
  scan_cache_dir,
  set_verbosity,
  snapshot_download,
  type SnapshotOptions,
  try_to_load_from_cache,
  whoami,
} from './hub/index.ts'
export { load_file, save_file } from './io/index.ts'
export * from './models/index.ts'
export * as nn from './nn/index.ts'
export { AdamW } from './optim/adam.ts'
export * as optim from './optim/index.ts'
export * from './ops/public.ts'
export { pipeline, type PipelineOptions } from './pipelines/pipeline.ts'
export { enable_grad, grad, is_grad_enabled, no_grad } from './tensor/autograd.ts'
export type { DType } from './tensor/dtype.ts'
export { keep, tidy } from './tensor/scope.ts'
export { Tensor } from './tensor/tensor.ts'
export { AutoTokenizer, BpeTrainer, PreTrainedTokenizer, PreTrainedTokenizerFast } from './tokenizers/index.ts'
export * from './util/errors.ts'
export { version } from './version.ts'
export { init, memory, OutOfMemoryError, runtimeInfo } from './runtime.ts'
