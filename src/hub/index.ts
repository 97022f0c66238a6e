// The Hub: repositories by name, downloaded once and shared with Python; logins.
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
export { HUB_OPTIONS, type HubOptions, openRepository } from './open.ts'
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
