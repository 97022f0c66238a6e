// huggingface_hub's own functions: one file, a whole repository, and what the cache has.
import { checkFileName } from '../io/repository.ts'
import { checkOptions, FileError, RushlightError, shown } from '../util/errors.ts'
import { DiskCache } from './disk-cache.ts'
import { LocalEntryNotFoundError } from './errors.ts'
import { checkRepositoryName, checkRevision } from './names.ts'
import { cacheAt, HUB_OPTIONS, type HubOptions, hubRepository } from './open.ts'

/** What `try_to_load_from_cache` gives for a file of which the cache knows that there is none. */
export const _CACHED_NO_EXIST: unique symbol = Symbol('_CACHED_NO_EXIST')

/** Which files of a repository: patterns as Python's fnmatch has them (`*` takes `/` too; a final `/` means all that is in the folder). */
export interface SnapshotOptions extends Omit<HubOptions, 'subfolder'> {
  /** Only files that one of these matches. */
  allow_patterns?: string | string[]
  /** None of the files that one of these matches. */
  ignore_patterns?: string | string[]
  /** Files at a time (8). */
  max_workers?: number
}

function diskCache(where: string, directory?: string): DiskCache {
  const cache = cacheAt(directory)
  if (cache instanceof DiskCache) return cache
  throw new FileError(
    `${where}: there is no directory for downloads here. Hint: openRepository reads from whatever cache there is`,
  )
}

/**
 * Downloads a file, unless the cache has it, and gives its path: `hf_hub_download('owner/name', 'config.json')`, or with everything
 * in one object (`repo_id`, `filename`).
 * @throws HfHubHTTPError and its kinds, CorruptDownloadError, FileError where there is no file system
 */
export function hf_hub_download(repo_id: string, filename: string, options?: HubOptions): Promise<string>
export function hf_hub_download(keywords: { repo_id: string; filename: string } & HubOptions): Promise<string>
export async function hf_hub_download(
  first: string | ({ repo_id: string; filename: string } & HubOptions),
  file?: string,
  more: HubOptions = {},
): Promise<string> {
  const { repo_id, filename, ...options } =
    typeof first === 'object' ? first : { repo_id: first, filename: file, ...more }
  checkOptions('hf_hub_download', options, HUB_OPTIONS)
  if (typeof filename !== 'string')
    throw new RushlightError(`hf_hub_download: expected a filename, found ${shown(filename)}`)
  const cache = diskCache('hf_hub_download', options.cache_dir)
  const repository = hubRepository(repo_id, options)
  checkFileName(repo_id, filename)
  await repository.pin(filename)
  const path = options.subfolder ? `${options.subfolder.replace(/^\/+|\/+$/g, '')}/${filename}` : filename
  await repository.fetch(path)
  return cache.path(repo_id, repository.commit!, path)!
}

/**
 * Downloads all files of a repository, or those that patterns choose, and gives the directory that has them.
 * @throws as `hf_hub_download`
 */
export function snapshot_download(repo_id: string, options?: SnapshotOptions): Promise<string>
export function snapshot_download(keywords: { repo_id: string } & SnapshotOptions): Promise<string>
export async function snapshot_download(
  first: string | ({ repo_id: string } & SnapshotOptions),
  more: SnapshotOptions = {},
): Promise<string> {
  const { repo_id, ...options } = typeof first === 'object' ? first : { repo_id: first, ...more }
  checkOptions('snapshot_download', options, [
    ...HUB_OPTIONS.filter((name) => name !== 'subfolder'),
    'allow_patterns',
    'ignore_patterns',
    'max_workers',
  ])
  const { allow_patterns, ignore_patterns, max_workers = 8, ...access } = options
  if (!Number.isInteger(max_workers) || max_workers < 1)
    throw new RushlightError(
      `snapshot_download: max_workers: expected a whole number from 1 on, found ${shown(max_workers)}`,
    )
  const cache = diskCache('snapshot_download', access.cache_dir)
  // One file that fails ends the others.
  const failed = new AbortController()
  const signal = access.signal ? AbortSignal.any([access.signal, failed.signal]) : failed.signal
  const repository = await hubRepository(repo_id, { ...access, signal }).pin()
  const folder = cache.snapshot(repo_id, repository.commit!)
  const files = (await repository.list()).filter(chosenBy(allow_patterns, ignore_patterns))
  if (repository.isOffline) {
    if (files.length > 0) return folder
    throw new LocalEntryNotFoundError(
      `${repo_id}: the cache has no such files, and the Hub is not asked. Hint: rushlight download ${repo_id}`,
    )
  }
  for (const file of files) checkFileName(repo_id, file) // a server says these names
  const worker = async () => {
    for (let file = files.shift(); file !== undefined; file = files.shift()) await repository.fetch(file)
  }
  const workers = Array.from({ length: max_workers }, worker)
  try {
    await Promise.all(workers)
  } catch (error) {
    failed.abort(error)
    await Promise.allSettled(workers)
    throw error
  }
  return folder
}

/** The path of a file in the cache; `_CACHED_NO_EXIST` when the Hub has said that there is none, undefined when nothing is known. Asks nobody. */
export function try_to_load_from_cache(
  repo_id: string,
  filename: string,
  options: { cache_dir?: string; revision?: string } = {},
): string | typeof _CACHED_NO_EXIST | undefined {
  checkOptions('try_to_load_from_cache', options, ['cache_dir', 'revision'])
  const { cache_dir, revision = 'main' } = options
  checkRepositoryName(repo_id)
  checkRevision(revision)
  checkFileName(repo_id, filename)
  const cache = diskCache('try_to_load_from_cache', cache_dir)
  const commit = cache.refOf(repo_id, revision) ?? revision
  if (cache.knowsMissing(repo_id, commit, filename)) return _CACHED_NO_EXIST
  return cache.path(repo_id, commit, filename)
}

/** Whether patterns choose a file. */
export function chosenBy(allow?: string | string[], ignore?: string | string[]): (file: string) => boolean {
  const [allowed, ignored] = [allow, ignore].map((patterns) =>
    patterns === undefined ? undefined : [patterns].flat().map(fnmatch),
  )
  return (file) =>
    (allowed === undefined || allowed.some((pattern) => pattern.test(file))) &&
    !ignored?.some((pattern) => pattern.test(file))
}

/** A pattern of Python's fnmatch as a regular expression. */
function fnmatch(pattern: string): RegExp {
  const whole = pattern.endsWith('/') ? `${pattern}*` : pattern
  const source = whole.replace(/\[(!?)([^\]]+)\]|[\s\S]/g, (part, not: string | undefined, set: string | undefined) => {
    if (set !== undefined) return `[${not ? '^' : ''}${set.replace(/[\\[\]^]/g, '\\$&')}]`
    if (part === '*') return '[^]*'
    return part === '?' ? '[^]' : part.replace(/[\\^$.|+()[\]{}/]/, '\\$&')
  })
  return new RegExp(`^${source}$`)
}
