// What the Hub refuses, each its own class under Python's name, with what to do about it.
import { FileError } from '../util/errors.ts'

/** Base of what goes wrong between us and the Hub. */
export class HubError extends FileError {
  override name = 'HubError'
}

/** The server answered with an error that has no class of its own. */
export class HfHubHTTPError extends HubError {
  override name = 'HfHubHTTPError'

  constructor(
    message: string,
    /** The HTTP status, or 0 when there was no answer. */
    readonly status: number,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** There is no such repository, or it is private and the token does not open it. */
export class RepositoryNotFoundError extends HfHubHTTPError {
  override name = 'RepositoryNotFoundError'
}

/** The repository is there, and asks for an agreement before its files are given. */
export class GatedRepoError extends RepositoryNotFoundError {
  override name = 'GatedRepoError'
}

/** The repository has no such branch, tag or commit. */
export class RevisionNotFoundError extends HfHubHTTPError {
  override name = 'RevisionNotFoundError'
}

/** The repository has no such file at this revision. */
export class EntryNotFoundError extends HfHubHTTPError {
  override name = 'EntryNotFoundError'
}

/** The file is not in the cache, and the Hub may not or cannot be asked. */
export class LocalEntryNotFoundError extends EntryNotFoundError {
  override name = 'LocalEntryNotFoundError'

  constructor(message: string, options?: ErrorOptions) {
    super(message, 0, options)
  }
}

/** The server does not say of a file what a cache must know: its commit and its etag. */
export class FileMetadataError extends HubError {
  override name = 'FileMetadataError'
}

/** What was downloaded is not what the Hub says it is: another size, or another sha256. Nothing of it is kept. */
export class CorruptDownloadError extends HubError {
  override name = 'CorruptDownloadError'
}
