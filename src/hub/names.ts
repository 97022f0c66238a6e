// Names that are checked before they become parts of URLs and paths: repositories, revisions, commits, etags.
import { RushlightError, shown } from '../util/errors.ts'
import { FileMetadataError } from './errors.ts'

/** Whether a name can be a repository's: `name` or `owner/name`. */
export function isRepositoryName(name: string): boolean {
  return /^(?:[\w.-]+\/)?[\w.-]+$/.test(name) && name.length <= 96 && !/--|\.\.|(^|\/)[.-]|[.-](\/|$)|\.git$/.test(name)
}

/** @throws RushlightError when it is not a repository's name */
export function checkRepositoryName(name: unknown): asserts name is string {
  if (typeof name !== 'string' || !isRepositoryName(name))
    throw new RushlightError(
      `${shown(name)} is not the name of a repository of the Hub. Hint: names are 'owner/name', of letters, digits, -, _ and .`,
    )
}

/** @throws RushlightError when it cannot be a branch, tag or commit: a revision becomes a path under refs/ */
export function checkRevision(revision: unknown): asserts revision is string {
  if (
    typeof revision !== 'string' ||
    !/^[^\\:\s?*[^~\0-\x1f]+$/.test(revision) ||
    revision.split('/').some((part) => part === '' || part === '.' || part === '..')
  )
    throw new RushlightError(
      `revision: expected the name of a branch, a tag or a commit, such as 'main', found ${shown(revision)}`,
    )
}

/** Whether a revision is a commit in full, which never changes. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision)
}

/** @throws FileMetadataError when what a server calls a commit is none: it becomes the name of a directory */
export function checkedCommit(commit: string | null | undefined, name: string): string {
  if (commit && isCommit(commit)) return commit
  throw new FileMetadataError(
    commit
      ? `${name}: the server says that the commit is ${shown(commit)}; expected 40 hexadecimal digits`
      : `${name}: the server's answer has no X-Repo-Commit, so it is not a Hub's. Hint: look at HF_ENDPOINT, and at what may stand between (a proxy, a firewall)`,
  )
}

/**
 * The name of a blob: an etag without W/ and quotes, as Python writes it. Characters that paths do not take are escaped.
 * @throws FileMetadataError when there is none
 */
export function blobName(etag: string | null | undefined, name: string): string {
  const bare = (etag ?? '').replace(/^[W/]+/, '').replace(/^"+|"+$/g, '')
  const safe = bare
    .replace(/[^\w.+=-]/g, (c) => encodeURIComponent(c).replace(/[*'()!~]/g, (d) => `%${d.charCodeAt(0).toString(16)}`))
    .replace(/^\.+$|\.(?:incomplete|lock)$/, (end) => end.replaceAll('.', '%2e'))
  if (safe === '' || safe.length > 200)
    throw new FileMetadataError(
      `${name}: expected an etag in the server's answer, found ${bare === '' ? 'none' : shown(bare)}; without it nothing says whether a copy is current`,
    )
  return safe
}

/** The directory of a repository in the cache. */
export function folderOf(repository: string): string {
  return `models--${repository.replace('/', '--')}`
}
