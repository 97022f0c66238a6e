// The Hub: repositories by name, downloaded once and shared with Python; logins.
export {
  _CACHED_NO_EXIST,
  hf_hub_download,
  snapshot_download,
  type SnapshotOptions,
  try_to_load_from_cache,
} from './download.ts'
export {
  CorruptDownloadError,
  EntryNotFoundError,
  FileMetadataError,
  GatedRepoError,
  HfHubHTTPError,
  HubError,
  LocalEntryNotFoundError,
  RepositoryNotFoundError,
  RevisionNotFoundError,
} from './errors.ts'
export { login, logout, notebook_login, type WhoAmI, whoami } from './login.ts'
export { HUB_OPTIONS, type HubOptions, openRepository } from './open.ts'
export {
  type CachedFileInfo,
  type CachedRepoInfo,
  type CachedRevisionInfo,
  type DeleteCacheStrategy,
  type HFCacheInfo,
  scan_cache_dir,
} from './scan.ts'
export { type CustomCache, env } from './settings.ts'
export { get_token } from './token.ts'
export {
  are_progress_bars_disabled,
  disable_progress_bars,
  enable_progress_bars,
  type ProgressCallback,
  type ProgressInfo,
} from '../util/progress.ts'
export { get_verbosity, set_verbosity, type Verbosity } from '../util/warn.ts'
