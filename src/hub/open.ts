// From a name to its files: a local directory, or a repository of the Hub.
import { checkFileName, LocalRepository, type Repository } from '../io/repository.ts'
import { checkOptions, FileError, RushlightError, shown } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'
import type { ProgressCallback } from '../util/progress.ts'
import type { HubCache } from './cache.ts'
import { DiskCache } from './disk-cache.ts'
import { HubRepository } from './hub-repository.ts'
import { checkRepositoryName, checkRevision, isRepositoryName } from './names.ts'
import { ServedRepository } from './served-repository.ts'
import { env, isOffline } from './settings.ts'
import { tokenOf } from './token.ts'
import { MemoryStorage, WebCache } from './web-cache.ts'

/** How a repository of the Hub is read. */
export interface HubOptions {
  /** A branch, a tag or a commit; 'main' without. */
  revision?: string
  /** A folder of the repository in which files are looked for. */
  subfolder?: string
  /** The directory of the cache, in place of `HF_HUB_CACHE`. */
  cache_dir?: string
  /** A token, true for that of the login (an error where there is none), false for none; without, that of the login where there is one. */
  token?: string | boolean
  /** Reads the cache only. */
  local_files_only?: boolean
  /** Downloads what the cache has too. */
  force_download?: boolean
  /** Told of each file; without, a terminal shows bars. */
  progress_callback?: ProgressCallback
  /** Ends downloads; what came stays for the next time. */
  signal?: AbortSignal
}

/** The names of HubOptions, for those who pass them on. */
export const HUB_OPTIONS: readonly string[] = [
  'revision',
  'subfolder',
  'cache_dir',
  'token',
  'local_files_only',
  'force_download',
  'progress_callback',
  'signal',
]

/**
 * A local directory, or a repository of the Hub by its name, all of whose files are of one commit. They are downloaded to the cache
 * when they are opened; `has`, `size` and `list` download nothing.
 * @throws FileError for a path without a directory, HfHubHTTPError and its kinds (RepositoryNotFoundError, RevisionNotFoundError,
 * GatedRepoError), LocalEntryNotFoundError where downloads are off, UnsupportedOptionError for an unknown option
 */
export async function openRepository(source: string, options: HubOptions = {}): Promise<Repository> {
  checkOptions('openRepository', options, HUB_OPTIONS)
  if (typeof source !== 'string' || source === '')
    throw new RushlightError(
      `expected a local directory or the name of a repository of the Hub, found ${shown(source)}`,
    )
  const local = await openLocal(source, options.subfolder)
  if (local) return local
  if (!isRepositoryName(source))
    throw new FileError(
      `${source}: there is no such local directory${looksLikePath(source) ? '' : ", and it cannot be the name of a repository of the Hub ('owner/name')"}. Hint: check the spelling`,
    )
  try {
    return await hubRepository(source, options).pin()
  } catch (error) {
    if (error instanceof FileError)
      error.message = `${error.message}. There is no local directory ${shown(source)} either`
    throw error
  }
}

/** A repository of the Hub, not pinned yet. @throws RushlightError when a name or an option cannot be one */
export function hubRepository(repository: string, options: HubOptions): HubRepository {
  const {
    revision = 'main',
    subfolder = '',
    cache_dir,
    token,
    local_files_only,
    force_download,
    progress_callback,
    signal,
  } = options
  checkRepositoryName(repository)
  checkRevision(revision)
  const folder = subfolder.replace(/^\/+|\/+$/g, '')
  if (folder !== '') checkFileName(repository, folder)
  const offline = local_files_only === true || isOffline()
  return new HubRepository({
    repository,
    revision,
    subfolder: folder,
    cache: cacheAt(cache_dir),
    token: tokenOf(token),
    offline,
    force: force_download === true && !offline,
    progress: progress_callback,
    signal,
  })
}

const memory = new MemoryStorage()

/** The cache that `env` and the platform give: the program's own, a directory, Cache Storage, or memory. */
export function cacheAt(directory?: string): HubCache {
  if (env.useCustomCache) {
    if (!env.customCache?.match || !env.customCache.put)
      throw new RushlightError('env.useCustomCache is set: env.customCache must have the methods match and put')
    return new WebCache(env.customCache)
  }
  if (env.useFSCache && builtin('node:fs')) return new DiskCache(directory ?? env.cacheDir)
  if (env.useBrowserCache && typeof caches !== 'undefined') return new WebCache(new CacheStorageByName())
  return new WebCache(memory)
}

/** Cache Storage under `env.cacheKey`, opened when it is needed. */
class CacheStorageByName {
  async match(request: string): Promise<Response | undefined> {
    return (await caches.open(env.cacheKey)).match(request)
  }

  async put(request: string, response: Response): Promise<void> {
    await (await caches.open(env.cacheKey)).put(request, response)
  }
}

function looksLikePath(source: string): boolean {
  return /^(\.{0,2}[\\/]|~|[A-Za-z]:)/.test(source) || /^\.{1,2}$/.test(source)
}

/** The local directory of a name: the path itself, or under `env.localModelPath`. */
async function openLocal(source: string, subfolder?: string): Promise<Repository | undefined> {
  const fs = builtin('node:fs')
  const inside = (directory: string) => (subfolder ? `${directory}/${subfolder}` : directory)
  const named = `${env.localModelPath.replace(/\/*$/, '/')}${source}`
  if (!fs) {
    const served = env.allowLocalModels ? new ServedRepository(inside(named)) : undefined
    return (await served?.has('config.json')) ? served : undefined
  }
  if (fs.existsSync(source)) return new LocalRepository(inside(source))
  if (env.allowLocalModels && fs.statSync(named, { throwIfNoEntry: false })?.isDirectory())
    return new LocalRepository(inside(named))
  return undefined
}
