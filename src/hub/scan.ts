// What the cache on disk holds, as huggingface_hub's scan_cache_dir tells it, and how it is removed.
import { FileError, FileFormatError, RushlightError, shown } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'
import { env } from './settings.ts'

export interface CachedFileInfo {
  file_name: string
  file_path: string
  blob_path: string
  size_on_disk: number
}

export interface CachedRevisionInfo {
  commit_hash: string
  /** Branches and tags that lead here. */
  refs: string[]
  snapshot_path: string
  size_on_disk: number
  files: CachedFileInfo[]
  /** Milliseconds since 1970. */
  last_modified: number
}

export interface CachedRepoInfo {
  repo_id: string
  repo_type: string
  repo_path: string
  /** Each blob once. */
  size_on_disk: number
  nb_files: number
  revisions: CachedRevisionInfo[]
  last_accessed: number
  last_modified: number
}

/** What a removal takes away. Nothing happens before `execute()`. */
export interface DeleteCacheStrategy {
  expected_freed_size: number
  paths: string[]
  execute(): void
}

export interface HFCacheInfo {
  size_on_disk: number
  repos: CachedRepoInfo[]
  /** Downloads that were not finished, Python's among them. */
  incomplete_files: { file_path: string; size_on_disk: number; last_modified: number }[]
  /** One for each folder that is not as it should be. */
  warnings: FileFormatError[]
  /** The removal of revisions by their commits; of a repository that has no others, everything. */
  delete_revisions(...commits: string[]): DeleteCacheStrategy
}

const TYPES: Record<string, string> = { models: 'model', datasets: 'dataset', spaces: 'space' }
/** What operating systems leave in directories. */
const IGNORED = new Set(['.DS_Store', 'Thumbs.db', 'desktop.ini'])

/**
 * Looks through the cache: repositories, revisions, files and their sizes.
 * @throws FileError when there is no such directory
 */
export function scan_cache_dir(cache_dir: string = env.cacheDir): HFCacheInfo {
  const fs = builtin('node:fs')
  if (!fs?.statSync(cache_dir, { throwIfNoEntry: false })?.isDirectory())
    throw new FileError(
      `${cache_dir}: there is no such directory. Hint: it appears with the first download; HF_HUB_CACHE names another`,
    )
  const repos: CachedRepoInfo[] = []
  const warnings: FileFormatError[] = []
  const incomplete_files: HFCacheInfo['incomplete_files'] = []
  for (const folder of fs.readdirSync(cache_dir).sort()) {
    if (folder.startsWith('.') || folder === 'CACHEDIR.TAG' || IGNORED.has(folder)) continue
    const path = `${cache_dir}/${folder}`
    if (fs.existsSync(`${path}/.huggingface-shared-blobs`)) continue // Python's store, which blobs of many repositories lead to
    try {
      repos.push(scanRepository(path, folder))
    } catch (error) {
      if (!(error instanceof FileFormatError)) throw error
      warnings.push(error)
    }
    for (const file of entries(`${path}/blobs`)) {
      const stat = fs.statSync(`${path}/blobs/${file}`, { throwIfNoEntry: false })
      if (file.endsWith('.incomplete') && stat)
        incomplete_files.push({
          file_path: `${path}/blobs/${file}`,
          size_on_disk: stat.size,
          last_modified: stat.mtimeMs,
        })
    }
  }
  return {
    size_on_disk: repos.reduce((sum, repo) => sum + repo.size_on_disk, 0),
    repos,
    incomplete_files,
    warnings,
    delete_revisions: (...commits) => removal(repos, commits),
  }
}

function scanRepository(path: string, folder: string): CachedRepoInfo {
  const fs = builtin('node:fs')!
  const [kind, ...name] = folder.split('--')
  const wrong = (field: string, expected: string, found: string) => new FileFormatError(path, field, expected, found)
  if (name.length === 0 || !TYPES[kind]) throw wrong('name', 'models--owner--name, or datasets, spaces', shown(folder))
  if (!fs.statSync(`${path}/snapshots`, { throwIfNoEntry: false })?.isDirectory())
    throw wrong('snapshots', 'a directory', 'none')
  const refs = new Map<string, string[]>()
  for (const ref of filesIn(`${path}/refs`)) {
    const commit = fs.readFileSync(`${path}/refs/${ref}`, 'utf8').trim()
    refs.set(commit, [...(refs.get(commit) ?? []), ref])
  }
  const blobs = new Map<string, { size: number; atimeMs: number; mtimeMs: number }>()
  const revisions = entries(`${path}/snapshots`).map((commit_hash): CachedRevisionInfo => {
    const snapshot_path = `${path}/snapshots/${commit_hash}`
    if (!fs.statSync(snapshot_path).isDirectory()) throw wrong(`snapshots/${commit_hash}`, 'a directory', 'a file')
    const files = filesIn(snapshot_path).map((file): CachedFileInfo => {
      const file_path = `${snapshot_path}/${file}`
      // Only the first link is followed: a blob may lead into a store that others share.
      const blob_path = fs.lstatSync(file_path).isSymbolicLink()
        ? builtin('node:path')!.resolve(file_path, '..', fs.readlinkSync(file_path))
        : file_path
      const stat = fs.statSync(blob_path, { throwIfNoEntry: false })
      if (!stat) throw wrong(`snapshots/${commit_hash}/${file}`, 'a link to a blob', 'one that leads nowhere')
      blobs.set(blob_path, stat)
      return { file_name: file.slice(file.lastIndexOf('/') + 1), file_path, blob_path, size_on_disk: stat.size }
    })
    const sizes = new Map(files.map(({ blob_path, size_on_disk }) => [blob_path, size_on_disk]))
    return {
      commit_hash,
      refs: refs.get(commit_hash) ?? [],
      snapshot_path,
      size_on_disk: [...sizes.values()].reduce((sum, size) => sum + size, 0),
      files,
      last_modified: Math.max(
        ...files.map(({ blob_path }) => blobs.get(blob_path)!.mtimeMs),
        files.length ? 0 : fs.statSync(snapshot_path).mtimeMs,
      ),
    }
  })
  for (const [commit, names] of refs)
    if (!revisions.some(({ commit_hash }) => commit_hash === commit))
      throw wrong(`refs/${names[0]}`, 'a commit that has a snapshot', shown(commit))
  const stats = blobs.size > 0 ? [...blobs.values()] : [fs.statSync(path)]
  return {
    repo_id: name.join('/'),
    repo_type: TYPES[kind],
    repo_path: path,
    size_on_disk: [...blobs.values()].reduce((sum, { size }) => sum + size, 0),
    nb_files: blobs.size,
    revisions,
    last_accessed: Math.max(...stats.map(({ atimeMs }) => atimeMs)),
    last_modified: Math.max(...stats.map(({ mtimeMs }) => mtimeMs)),
  }
}

function removal(repos: CachedRepoInfo[], commits: string[]): DeleteCacheStrategy {
  const fs = builtin('node:fs')!
  const paths: string[] = []
  let expected_freed_size = 0
  const unknown = new Set(commits)
  for (const { repo_path, size_on_disk, revisions } of repos) {
    const gone = revisions.filter(({ commit_hash }) => commits.includes(commit_hash))
    if (gone.length === 0) continue
    for (const { commit_hash } of gone) unknown.delete(commit_hash)
    if (gone.length === revisions.length) {
      paths.push(repo_path)
      expected_freed_size += size_on_disk
      continue
    }
    const used = new Set(
      revisions.filter((one) => !gone.includes(one)).flatMap(({ files }) => files.map(({ blob_path }) => blob_path)),
    )
    const freed = new Map<string, number>()
    for (const { commit_hash, refs, snapshot_path, files } of gone) {
      paths.push(
        snapshot_path,
        `${repo_path}/.no_exist/${commit_hash}`,
        ...refs.map((ref) => `${repo_path}/refs/${ref}`),
      )
      for (const { blob_path, size_on_disk } of files) if (!used.has(blob_path)) freed.set(blob_path, size_on_disk)
    }
    paths.push(...freed.keys())
    for (const size of freed.values()) expected_freed_size += size
  }
  if (unknown.size > 0) throw new RushlightError(`delete_revisions: the cache has no commit ${[...unknown].join(', ')}`)
  const execute = () => {
    for (const path of paths) fs.rmSync(path, { recursive: true, force: true })
  }
  return { expected_freed_size, paths, execute }
}

function entries(directory: string): string[] {
  const fs = builtin('node:fs')!
  return fs.existsSync(directory)
    ? fs
        .readdirSync(directory)
        .filter((file) => !IGNORED.has(file))
        .sort()
    : []
}

/** Files in a directory and below, links among them. */
function filesIn(directory: string): string[] {
  const fs = builtin('node:fs')!
  return entries(directory).flatMap((entry) =>
    fs.lstatSync(`${directory}/${entry}`).isDirectory()
      ? filesIn(`${directory}/${entry}`).map((file) => `${entry}/${file}`)
      : [entry],
  )
}
