// Where bytes come from: a local file, a Blob, memory, or an HTTP server that knows ranges. All are read by position.
import { FileError, FileFormatError } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'

/**
 * Where bytes go: a view, or a function that makes one. A view over the WASM heap goes stale when the heap grows, so the
 * function is asked again after every wait; each view it gives has the same length.
 */
export type Destination = Uint8Array | (() => Uint8Array)

/** Bytes that can be read from any position, without holding the whole. */
export interface ByteSource {
  /** What errors call it. */
  readonly name: string
  /** Bytes in all. */
  readonly size: number
  /**
   * Fills the destination with the bytes from `offset` on.
   * @throws FileFormatError when the source ends before that, FileError when it cannot be read
   */
  readInto(into: Destination, offset: number): Promise<void>
  /** Gives file handles and connections back. */
  close(): Promise<void>
}

/** Bytes that one read takes at most, so that a long one lets other work in between. */
const PIECE = 1 << 22

/** A copy of `length` bytes from `offset` on, in unshared memory of its own. */
export async function readBytes(source: ByteSource, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  checkRange(source, offset, length) // before anything of that size is allocated
  const bytes = new Uint8Array(length)
  await source.readInto(bytes, offset)
  return bytes
}

/** Text of UTF-8 bytes (unshared ones). @throws FileFormatError naming the field when they are not UTF-8 */
export function decodeUtf8(bytes: Uint8Array, file: string, field: string): string {
  try {
    return strictUtf8.decode(bytes)
  } catch {
    throw new FileFormatError(file, field, 'UTF-8 text', 'bytes that are not')
  }
}
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Refuses a range that is not inside the source. */
function checkRange(source: ByteSource, offset: number, length: number): void {
  if (offset < 0 || !Number.isSafeInteger(offset) || length < 0 || offset + length > source.size)
    throw new FileFormatError(
      source.name,
      range(offset, length),
      `a range inside its ${source.size} bytes`,
      'one that is not',
    )
}

function range(offset: number, length: number): string {
  return `bytes ${offset} to ${offset + length}`
}

function shorter(source: ByteSource, offset: number, length: number, found: number): FileFormatError {
  return new FileFormatError(
    source.name,
    range(offset, length),
    `${length} bytes`,
    `${found}`,
    'the file changed while it was being read, or the transfer was cut',
  )
}

/** Fills the destination piece by piece: `fill` writes a piece at once, after waiting for what it needs. */
async function inPieces(
  into: Destination,
  piece: (at: number, length: number, view: () => Uint8Array) => Promise<void>,
): Promise<void> {
  const length = (typeof into === 'function' ? into() : into).length
  for (let at = 0; at < length; at += PIECE) {
    const n = Math.min(PIECE, length - at)
    await piece(at, n, () => (typeof into === 'function' ? into() : into).subarray(at, at + n))
  }
}

/** Bytes in memory as a source. */
export function bytesSource(data: Uint8Array | ArrayBuffer, name = 'bytes'): ByteSource {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data)
  const source: ByteSource = {
    name,
    size: bytes.length,
    async readInto(into, offset) {
      const view = typeof into === 'function' ? into() : into
      checkRange(source, offset, view.length)
      view.set(bytes.subarray(offset, offset + view.length))
    },
    async close() {},
  }
  return source
}

/** A Blob, or a File of a browser's file picker, as a source. */
export function blobSource(blob: Blob, name = blob instanceof File ? blob.name : 'blob'): ByteSource {
  const source: ByteSource = {
    name,
    size: blob.size,
    async readInto(into, offset) {
      await inPieces(into, async (at, length, view) => {
        checkRange(source, offset + at, length)
        const bytes = await blob
          .slice(offset + at, offset + at + length)
          .arrayBuffer()
          .catch((cause) => {
            throw new FileError(`${name}: cannot be read: ${(cause as Error).message}`, { cause })
          })
        if (bytes.byteLength !== length) throw shorter(source, offset + at, length, bytes.byteLength)
        view().set(new Uint8Array(bytes))
      })
    },
    async close() {},
  }
  return source
}

/**
 * Opens a local file (Node, Deno, Bun). Reads are synchronous, piece by piece: straight into the destination, shared memory
 * too, and faster than by way of a thread.
 * @throws FileError when there is no such file, or no file system here
 */
export async function openFile(path: string, name = path): Promise<ByteSource> {
  const fs = builtin('node:fs')
  if (!fs) throw new FileError(`${name}: there is no file system here. Hint: pass a Blob, bytes or a URL`)
  const attempt = <R>(what: string, fn: () => R): R => {
    try {
      return fn()
    } catch (cause) {
      throw fileError(name, what, cause)
    }
  }
  const fd = attempt('opened', () => fs.openSync(path, 'r'))
  const stat = attempt('read', () => fs.fstatSync(fd))
  if (!stat.isFile()) {
    fs.closeSync(fd)
    throw new FileError(`${name}: expected a file, found ${stat.isDirectory() ? 'a directory' : 'something else'}`)
  }
  let open = true
  const source: ByteSource = {
    name,
    size: stat.size,
    async readInto(into, offset) {
      await inPieces(into, async (at, length, view) => {
        if (at > 0) await new Promise((resolve) => setImmediate(resolve)) // others' turn
        if (!open) throw new FileError(`${name}: read after it was closed`)
        checkRange(source, offset + at, length)
        const bytes = view()
        for (let done = 0; done < length; ) {
          const n = attempt('read', () => fs.readSync(fd, bytes, done, length - done, offset + at + done))
          if (n === 0) throw shorter(source, offset + at, length, done)
          done += n
        }
      })
    },
    async close() {
      if (open) fs.closeSync(fd)
      open = false
    },
  }
  return source
}

/** The error for a failed file operation, in words. */
export function fileError(name: string, done: string, cause: unknown): FileError {
  const { code, message } = cause as NodeJS.ErrnoException
  const reasons: Record<string, string> = {
    ENOENT: 'no such file or directory',
    EACCES: 'permission denied',
    EISDIR: 'it is a directory',
    ENOTDIR: 'a part of the path is not a directory',
    ENOSPC: 'the disk is full',
    EMFILE: 'too many open files',
  }
  return new FileError(`${name}: cannot be ${done}: ${reasons[code ?? ''] ?? message}`, { cause })
}

export interface HttpOptions {
  /** Sent with every request. */
  headers?: Record<string, string>
  signal?: AbortSignal
  /** In place of the global fetch. */
  fetch?: typeof fetch
}

/** Bytes that are read and thrown away rather than asked for by a new request. */
const SKIP = 1 << 20

/**
 * Opens a file on a server by HTTP ranges. One response is read on as long as reads go forward, so that reading a file from
 * its beginning to its end takes one request.
 * @throws FileError when the server refuses, or does not say how long the file is
 */
export async function openUrl(url: string | URL, options: HttpOptions = {}): Promise<ByteSource> {
  const source = new HttpSource(String(url), options)
  await source.start()
  return source
}

class HttpSource implements ByteSource {
  size = -1
  /** Without credentials and query, which may hold a token. */
  readonly name: string
  private etag: string | null = null
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  private rest: Uint8Array = new Uint8Array() // of the last chunk that the reader gave
  private position = 0 // of the first byte of `rest`
  private turn: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly url: string,
    private readonly options: HttpOptions,
  ) {
    const { origin, pathname } = new URL(url)
    this.name = origin + pathname
  }

  async start(): Promise<void> {
    await this.request(0)
  }

  readInto(into: Destination, offset: number): Promise<void> {
    // One at a time, since they share the response.
    const run = this.turn.then(() => inPieces(into, (at, length, view) => this.piece(offset + at, length, view)))
    this.turn = run.catch(() => {})
    return run
  }

  async close(): Promise<void> {
    await this.reader?.cancel().catch(() => {})
    this.reader = undefined
  }

  private async piece(offset: number, length: number, view: () => Uint8Array): Promise<void> {
    checkRange(this, offset, length)
    if (length === 0) return
    if (!this.reader || offset < this.position || offset > this.position + SKIP) await this.request(offset)
    while (this.position < offset) this.take(Math.min(await this.more(offset, length, 0), offset - this.position))
    for (let done = 0; done < length; ) {
      const n = Math.min(await this.more(offset, length, done), length - done)
      view().set(this.rest.subarray(0, n), done)
      this.take(n)
      done += n
    }
  }

  private take(n: number): void {
    this.rest = this.rest.subarray(n)
    this.position += n
  }

  /** Waits until there are bytes; returns how many. */
  private async more(offset: number, length: number, done: number): Promise<number> {
    while (this.rest.length === 0) {
      const { value, done: ended } = await this.attempt(() => this.reader!.read())
      if (ended) {
        this.reader = undefined
        throw shorter(this, offset, length, done)
      }
      this.rest = value
    }
    return this.rest.length
  }

  private async request(offset: number): Promise<void> {
    await this.close()
    const headers = { ...this.options.headers, range: `bytes=${offset}-`, 'accept-encoding': 'identity' }
    const response = await this.attempt(() =>
      (this.options.fetch ?? fetch)(this.url, { headers, signal: this.options.signal }),
    )
    const refuse = async (message: string): Promise<never> => {
      await response.body?.cancel().catch(() => {})
      throw new FileError(`${this.name}: ${message}`)
    }
    const ranged = response.headers.get('content-range')?.match(/^bytes (\d+)-\d+\/(\d+)$/)
    const total = ranged ? ranged[2] : response.headers.get('content-length')
    const etag = response.headers.get('etag')
    if (response.status === 416 && response.headers.get('content-range') === 'bytes */0' && this.size <= 0) {
      await response.body?.cancel().catch(() => {}) // an empty file refuses even the range from its first byte on
      this.size = 0
      return
    }
    if (!response.ok) return refuse(`the server answers ${response.status} ${response.statusText}`.trimEnd())
    if (response.status === 206 && Number(ranged?.[1] ?? -1) !== offset)
      return refuse(
        `bytes from ${offset} on were asked for, and the server answers with content-range ${response.headers.get('content-range')}`,
      )
    if (response.status !== 206 && offset > 0)
      return refuse('the server does not give ranges. Hint: download the file first')
    const size = Number(total ?? Number.NaN)
    if (!response.body || !Number.isSafeInteger(size)) return refuse('the server does not say how long the file is')
    if (this.size >= 0 && (size !== this.size || etag !== this.etag))
      return refuse(`the file changed while it was being read (${this.size} bytes before, ${size} now)`)
    this.size = size
    this.etag = etag
    this.reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
    this.rest = new Uint8Array()
    this.position = offset
  }

  private async attempt<R>(fn: () => Promise<R>): Promise<R> {
    try {
      return await fn()
    } catch (cause) {
      if (this.options.signal?.aborted) throw this.options.signal.reason
      throw new FileError(`${this.name}: the transfer failed: ${(cause as Error).message}`, { cause })
    }
  }
}
