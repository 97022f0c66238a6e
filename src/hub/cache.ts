// What keeps downloaded files: the directory that Python's huggingface_hub has too, or a browser's Cache Storage.
import type { ByteSource } from '../io/source.ts'
import { CorruptDownloadError } from './errors.ts'
import type { FileMetadata } from './remote.ts'
import { type Hash, sha256 } from './sha256.ts'

/** A file that is to be kept. */
export interface Download {
  repository: string
  file: string
  metadata: FileMetadata
  /** Bytes from a position on. */
  bytes(from: number): AsyncGenerator<Uint8Array>
  /** Told of each piece: bytes so far, those of an earlier download included. */
  progress(loaded: number): void
  /** Whether what is there is replaced. */
  force: boolean
}

export interface HubCache {
  /** The commit that a branch or tag had when it was last asked for. */
  commitOf(repository: string, revision: string): Promise<string | undefined>
  remember(repository: string, revision: string, commit: string): Promise<void>
  /** Bytes of a file that is kept, undefined when it is not. */
  sizeOf(repository: string, commit: string, file: string): Promise<number | undefined>
  open(repository: string, commit: string, file: string): Promise<ByteSource | undefined>
  /** Whether the Hub has said that there is no such file. */
  isMissing(repository: string, commit: string, file: string): Promise<boolean>
  setMissing(repository: string, commit: string, file: string): Promise<void>
  /** The files of a commit that are kept. */
  list(repository: string, commit: string): Promise<string[]>
  /** Keeps a file. @throws CorruptDownloadError when it is not what the Hub says */
  add(download: Download): Promise<void>
}

/** Counts and hashes bytes on their way. */
export class Verifier {
  length = 0
  private readonly hash: Hash | undefined

  constructor(
    private readonly name: string,
    private readonly metadata: FileMetadata,
  ) {
    this.hash = metadata.sha256 === undefined ? undefined : sha256()
  }

  update(bytes: Uint8Array): void {
    this.hash?.update(bytes)
    this.length += bytes.length
  }

  /** @throws CorruptDownloadError when the whole has another size or hash than the Hub says */
  finish(): void {
    const { size, sha256: expected } = this.metadata
    if (size !== undefined && this.length !== size)
      throw new CorruptDownloadError(`${this.name}: expected ${size} bytes, found ${this.length}. Hint: try again`)
    const found = this.hash?.hex()
    if (found !== expected)
      throw new CorruptDownloadError(
        `${this.name}: sha256: expected ${expected}, found ${found}. Hint: try again; if it stays so, what stands between (a proxy, a mirror) changes files`,
      )
  }
}
