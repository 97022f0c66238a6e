// The cache on disk, laid out as Python's huggingface_hub does: blobs, refs, snapshots of links, .no_exist.
import { type ByteSource, fileError, openFile } from '../io/source.ts'
import { FileError } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'
import { type Download, type HubCache, Verifier } from './cache.ts'
import { CorruptDownloadError } from './errors.ts'
import { folderOf, isCommit } from './names.ts'
import { Partial } from './partial.ts'
import { symlinksDisabled } from './settings.ts'

/** Marks the directory for programs that make backups (Cache Directory Tagging Standard). */
const TAG = `Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by rushlight.
# For information about cache directory tags, see https://bford.info/cachedir/
`

/** Blobs that this process is downloading. */
const running = new Map<string, Promise<void>>()

export class DiskCache implements HubCache {
  private readonly fs = builtin('node:fs')!

  constructor(readonly directory: string) {}

  async commitOf(repository: string, revision: string): Promise<string | undefined> {
    return this.refOf(repository, revision)
  }

  refOf(repository: string, revision: string): string | undefined {
    const commit = this.read(`${this.folder(repository)}/refs/${revision}`)
    return commit !== undefined && isCommit(commit) ? commit : undefined
  }

  async remember(repository: string, revision: string, commit: string): Promise<void> {
    const path = `${this.folder(repository)}/refs/${revision}`
    if (revision === commit || this.read(path) === commit) return
    this.attempt(path, () => this.publish(path, (temporary) => this.fs.writeFileSync(temporary, commit)))
  }

  async sizeOf(repository: string, commit: string, file: string): Promise<number | undefined> {
    return this.fileSize(this.pointer(repository, commit, file))
  }

  async open(repository: string, commit: string, file: string): Promise<ByteSource | undefined> {
    const path = this.path(repository, commit, file)
    return path === undefined ? undefined : openFile(path, `${repository}/${file}`)
  }

  async isMissing(repository: string, commit: string, file: string): Promise<boolean> {
    return this.knowsMissing(repository, commit, file)
  }

  knowsMissing(repository: string, commit: string, file: string): boolean {
    return this.fs.existsSync(this.absence(repository, commit, file))
  }

  async setMissing(repository: string, commit: string, file: string): Promise<void> {
    const path = this.absence(repository, commit, file)
    try {
      this.fs.mkdirSync(parentOf(path), { recursive: true })
      this.fs.closeSync(this.fs.openSync(path, 'a'))
    } catch {
      // A cache that cannot be written: the Hub is asked again the next time.
    }
  }

  async list(repository: string, commit: string): Promise<string[]> {
    const snapshot = this.snapshot(repository, commit)
    if (!this.fs.existsSync(snapshot)) return []
    return this.fs
      .readdirSync(snapshot, { recursive: true, encoding: 'utf8' })
      .filter((file) => this.fileSize(`${snapshot}/${file}`) !== undefined)
      .map((file) => file.replaceAll('\\', '/'))
      .sort()
  }

  /** The directory of a commit's files. */
  snapshot(repository: string, commit: string): string {
    return `${this.folder(repository)}/snapshots/${commit}`
  }

  /** Where a file is, when it is there. */
  path(repository: string, commit: string, file: string): string | undefined {
    const path = this.pointer(repository, commit, file)
    return this.fileSize(path) === undefined ? undefined : path
  }

  async add(download: Download): Promise<void> {
    const { repository, file, metadata } = download
    const blob = `${this.folder(repository)}/blobs/${metadata.etag}`
    const pointer = this.pointer(repository, metadata.commit, file)
    let { force } = download
    let fresh = false
    while (force || !this.isWhole(blob, metadata.size)) {
      const other = running.get(blob)
      if (other) {
        await other.catch(() => {}) // whatever became of it, there is a look at what there is now
        if (this.isWhole(blob, metadata.size) || this.path(repository, metadata.commit, file)) break
        continue
      }
      const own = this.download(blob, download).finally(() => running.delete(blob))
      running.set(blob, own)
      await own
      force = false
      fresh = true
      break
    }
    this.attempt(pointer, () => this.link(blob, pointer, file, fresh))
  }

  /** Whether there is a blob of that size; a link into another store counts as what it leads to. */
  private isWhole(blob: string, size: number | undefined): boolean {
    const found = this.fileSize(blob)
    return found !== undefined && (size === undefined || found === size)
  }

  /** Bytes of a file, undefined where there is none. */
  private fileSize(path: string): number | undefined {
    try {
      const stat = this.fs.statSync(path)
      return stat.isFile() ? stat.size : undefined
    } catch {
      return undefined
    }
  }

  private async download(blob: string, download: Download): Promise<void> {
    const { repository, file, metadata } = download
    const name = `${repository}/${file}`
    this.attempt(this.directory, () => {
      this.fs.mkdirSync(parentOf(blob), { recursive: true })
      const tag = `${this.directory}/CACHEDIR.TAG`
      if (!this.fs.existsSync(tag)) this.fs.writeFileSync(tag, TAG)
    })
    for (let again = false; ; again = true) {
      // Only a sha256 can tell whether an earlier part belongs to this file.
      const partial = Partial.open(blob, name, metadata.sha256 !== undefined && !download.force && !again)
      const resumed = partial.length > 0
      try {
        this.checkRoom(name, (metadata.size ?? 0) - partial.length)
        const verifier = new Verifier(name, metadata)
        await partial.read((bytes) => verifier.update(bytes))
        download.progress(verifier.length)
        for await (const bytes of download.bytes(verifier.length)) {
          partial.write(bytes)
          verifier.update(bytes)
          download.progress(verifier.length)
        }
        verifier.finish()
        partial.publish(blob)
        return
      } catch (error) {
        const wrong = error instanceof CorruptDownloadError
        if (wrong || noRoom(error)) partial.remove()
        else partial.release()
        if (!wrong || !resumed || again) throw error
      }
    }
  }

  private checkRoom(name: string, needed: number): void {
    let free: number
    try {
      const { bavail, bsize } = this.fs.statfsSync(this.directory)
      free = bavail * bsize
    } catch {
      return // a file system that does not say
    }
    if (free > 0 && free < needed)
      throw new FileError(
        `${name}: needs ${needed} bytes, and there are ${free} on the disk of ${this.directory}. Hint: rushlight cache clean, or another disk by HF_HUB_CACHE`,
        { cause: { code: 'ENOSPC' } },
      )
  }

  /** Makes a snapshot's file lead to its blob: by a relative link, or where there are none, by being it. */
  private link(blob: string, pointer: string, file: string, fresh: boolean): void {
    const { fs } = this
    const target = `${'../'.repeat(file.split('/').length + 1)}blobs/${blob.slice(blob.lastIndexOf('/') + 1)}`
    const isLinked = () => {
      try {
        return fs.readlinkSync(pointer).replaceAll('\\', '/') === target
      } catch {
        return false
      }
    }
    if (isLinked() || (!fresh && fs.existsSync(pointer))) return
    if (!symlinksDisabled())
      try {
        return this.publish(pointer, (temporary) => fs.symlinkSync(target, temporary))
      } catch (cause) {
        if (isLinked()) return // someone else was quicker
        if (!['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'UNKNOWN'].includes(codeOf(cause)))
          throw cause
      }
    // As Python does: what was just downloaded is moved; what was there may serve other snapshots, and is copied.
    this.publish(pointer, (temporary) => (fresh ? fs.renameSync(blob, temporary) : fs.copyFileSync(blob, temporary)))
  }

  /** Lets something appear under its name whole, in place of what was there. */
  private publish(path: string, make: (temporary: string) => void): void {
    this.fs.mkdirSync(parentOf(path), { recursive: true })
    const temporary = `${path}.${process.pid}-${Math.random().toString(36).slice(2, 10)}.tmp`
    try {
      make(temporary)
      this.fs.renameSync(temporary, path)
    } catch (error) {
      this.fs.rmSync(temporary, { force: true })
      throw error
    }
  }

  private folder(repository: string): string {
    return `${this.directory}/${folderOf(repository)}`
  }

  private pointer(repository: string, commit: string, file: string): string {
    return `${this.snapshot(repository, commit)}/${file}`
  }

  private absence(repository: string, commit: string, file: string): string {
    return `${this.folder(repository)}/.no_exist/${commit}/${file}`
  }

  private read(path: string): string | undefined {
    try {
      return this.fs.readFileSync(path, 'utf8').trim()
    } catch {
      return undefined
    }
  }

  private attempt<R>(path: string, fn: () => R): R {
    try {
      return fn()
    } catch (cause) {
      throw fileError(path, 'written', cause)
    }
  }
}

const parentOf = (path: string) => path.slice(0, path.lastIndexOf('/'))
const codeOf = (error: unknown) => String((error as NodeJS.ErrnoException)?.code)
const noRoom = (error: unknown) => ['ENOSPC', 'EDQUOT'].includes(codeOf((error as Error)?.cause))
