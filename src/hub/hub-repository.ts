// A repository of the Hub as a Repository: files come to the cache when they are opened, all of one commit.
import { Repository } from '../io/repository.ts'
import type { ByteSource } from '../io/source.ts'
import type { ProgressCallback } from '../util/progress.ts'
import { warn } from '../util/warn.ts'
import type { HubCache } from './cache.ts'
import { EntryNotFoundError, HubError, LocalEntryNotFoundError, RevisionNotFoundError } from './errors.ts'
import { isCommit } from './names.ts'
import { type FileMetadata, isOutage, metadataOf, type MissingFile, remoteBytes, revisionInfo } from './remote.ts'
import { Tracker } from './tracking.ts'

/** What a HubRepository is made with. */
export interface HubAccess {
  repository: string
  revision: string
  /** A folder of the repository in which all names are looked for, '' for the whole. */
  subfolder: string
  cache: HubCache
  token: string | undefined
  /** Whether the Hub is not to be asked. */
  offline: boolean
  force: boolean
  progress: ProgressCallback | undefined
  signal: AbortSignal | undefined
}

export class HubRepository extends Repository {
  /** The commit that all files are of; undefined until `pin`. */
  commit: string | undefined
  private offline: boolean
  private readonly known = new Map<string, FileMetadata | MissingFile>()
  private readonly fetched = new Set<string>() // by this object, so that force_download brings each once

  constructor(private readonly access: HubAccess) {
    super(access.repository)
    this.offline = access.offline
  }

  /** Whether only the cache is read: so it was asked, or the Hub could not be reached. */
  get isOffline(): boolean {
    return this.offline
  }

  /**
   * Finds the commit of the revision, by asking for `file`; the cache answers when the Hub cannot.
   * @throws HfHubHTTPError and its kinds; LocalEntryNotFoundError without network and cache
   */
  async pin(file = 'config.json'): Promise<this> {
    const { repository, revision, cache, force } = this.access
    const cached = isCommit(revision) ? revision : await cache.commitOf(repository, revision)
    const path = this.inside(file)
    if (isCommit(revision) && !force && (await cache.sizeOf(repository, revision, path)) !== undefined) {
      this.commit = revision
      return this
    }
    if (!this.offline)
      try {
        // With something in the cache to fall back on, one attempt is enough.
        const found = await metadataOf(
          { ...this.access, file: path },
          cached && !isCommit(revision) && !force ? 1 : undefined,
        )
        this.commit = found.commit ?? (isCommit(revision) ? revision : undefined)
        if (this.commit === undefined) this.commit = (await revisionInfo(this.access)).commit // a server that does not say of what commit a file is missing
        await cache.remember(repository, revision, this.commit).catch(() => {}) // a cache that cannot be written may still be read
        await this.learn(path, found)
        return this
      } catch (error) {
        if (cached === undefined || force || !(await this.mayUse(cached, error))) throw error
        warn(`${(error as Error).message}. What the cache has is used`)
        this.offline = true
      }
    if (cached === undefined) throw this.absent(path)
    this.commit = cached
    return this
  }

  /** Whether the cache is to answer instead of an error: as in Python of any kind, but for a revision that is not there. */
  private async mayUse(commit: string, error: unknown): Promise<boolean> {
    if (!(error instanceof HubError) || error instanceof RevisionNotFoundError) return false
    return isOutage(error) || (await this.access.cache.list(this.name, commit)).length > 0
  }

  protected async find(file: string): Promise<boolean> {
    return (await this.look(this.inside(file))) !== undefined
  }

  /** Bytes of a file, without its download. @throws EntryNotFoundError when there is none, HubError when the server does not say */
  protected override async measure(file: string): Promise<number> {
    const path = this.inside(file)
    const found = await this.look(path)
    if (found === undefined) throw this.missing(path)
    if (found === 'unsaid') return super.measure(file)
    return found
  }

  protected async source(file: string): Promise<ByteSource> {
    const path = this.inside(file)
    await this.fetch(path)
    const source = await this.access.cache.open(this.name, this.commit!, path)
    if (!source) throw this.missing(path)
    return source
  }

  /** The names of the repository's files; without network, of those in the cache. */
  override async list(): Promise<string[]> {
    const { repository, token, signal, subfolder, cache } = this.access
    const files = this.offline
      ? await cache.list(repository, this.commit!)
      : (await revisionInfo({ repository, revision: this.commit!, token, signal })).files
    const prefix = subfolder === '' ? '' : `${subfolder}/`
    return files.filter((file) => file.startsWith(prefix)).map((file) => file.slice(prefix.length))
  }

  /** Brings a file to the cache, where it is not yet. @throws EntryNotFoundError when there is none */
  async fetch(path: string): Promise<void> {
    const { repository, cache, token, signal, progress } = this.access
    const commit = this.commit!
    const force = this.access.force && !this.fetched.has(path)
    signal?.throwIfAborted()
    const tracker = new Tracker(repository, path, progress)
    const size = force ? undefined : await cache.sizeOf(repository, commit, path)
    if (size !== undefined) return tracker.done(size, true)
    if (this.offline) throw this.absent(path)
    const metadata = await this.metadata(path)
    if ('error' in metadata) throw metadata.error
    const remote = { repository, revision: commit, file: path, token, signal }
    tracker.begin()
    try {
      let loaded = 0
      await cache.add({
        repository,
        file: path,
        metadata,
        bytes: (from) => remoteBytes(remote, metadata.size, from),
        progress: (bytes) => {
          loaded = bytes
          tracker.update(bytes, metadata.size)
        },
        force,
      })
      this.fetched.add(path)
      tracker.done(metadata.size ?? loaded, false)
    } catch (error) {
      tracker.fail()
      throw error
    }
  }

  /** A file's size as far as it is known, undefined when there is no such file. Never downloads it. */
  private async look(path: string): Promise<number | 'unsaid' | undefined> {
    const { repository, cache, force } = this.access
    const size = await cache.sizeOf(repository, this.commit!, path)
    if (size !== undefined && !force) return size
    if (this.offline) return undefined
    if (!force && !this.known.has(path) && (await cache.isMissing(repository, this.commit!, path))) return undefined
    const found = await this.metadata(path)
    return 'error' in found ? undefined : (found.size ?? 'unsaid')
  }

  private async metadata(path: string): Promise<FileMetadata | MissingFile> {
    const known = this.known.get(path)
    if (known) return known
    const found = await metadataOf({ ...this.access, revision: this.commit!, file: path })
    await this.learn(path, found)
    return found
  }

  private async learn(path: string, found: FileMetadata | MissingFile): Promise<void> {
    this.known.set(path, { ...found, commit: this.commit! } as FileMetadata | MissingFile)
    if ('error' in found) await this.access.cache.setMissing(this.name, this.commit!, path)
  }

  private inside(file: string): string {
    return this.access.subfolder === '' ? file : `${this.access.subfolder}/${file}`
  }

  private missing(path: string): EntryNotFoundError {
    return this.offline
      ? this.absent(path)
      : new EntryNotFoundError(`${this.name}/${path}: the repository has no such file`, 404)
  }

  private absent(path: string): LocalEntryNotFoundError {
    const why = this.access.offline
      ? 'downloads are off (local_files_only, HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE or env.allowRemoteModels)'
      : 'the Hub cannot be reached'
    const { revision } = this.access
    return new LocalEntryNotFoundError(
      `${this.name}/${path}${revision === 'main' ? '' : ` at ${revision}`}: it is not in the cache, and ${why}. Hint: rushlight download ${this.name} where there is a connection`,
    )
  }
}
