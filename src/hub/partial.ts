// A download that is not whole yet: a file beside its blob, of a name that says whose it is, so that only ours is taken up, by one process.
import { fileError } from '../io/source.ts'
import { builtin } from '../util/platform.ts'

/** A part that nobody has written to for so long, in milliseconds, is nobody's, wherever its owner was. */
const ABANDONED = 600_000
const PIECE = 1 << 20

/** Parts that are open in this process. */
const open = new Set<string>()

/** A short name of this machine, since process ids say nothing on another that shares the disk. */
function machine(): string {
  const host = builtin('node:os')!.hostname()
  return builtin('node:crypto')!.createHash('sha256').update(host).digest('hex').slice(0, 8)
}

export class Partial {
  private readonly fs = builtin('node:fs')!
  private closed = false

  private constructor(
    private readonly name: string,
    private readonly blob: string,
    private readonly path: string,
    private readonly fd: number,
    /** Bytes that are there. */
    public length: number,
  ) {
    open.add(path)
  }

  /** Begins a part of a blob, or takes an earlier one up that nobody is at. Others of ours are removed. */
  static open(blob: string, name: string, resume: boolean): Partial {
    const fs = builtin('node:fs')!
    const path = `${blob}.${machine()}-${process.pid}-${Math.random().toString(36).slice(2, 10)}.rushlight.incomplete`
    try {
      let claimed = false
      for (const left of leftovers(blob)) {
        if (!resume || claimed) fs.rmSync(left, { force: true })
        else
          try {
            fs.renameSync(left, path) // of several processes, one succeeds
            claimed = true
          } catch {
            // Another one has it.
          }
      }
      const fd = fs.openSync(path, claimed ? 'r+' : 'wx+')
      return new Partial(name, blob, path, fd, fs.fstatSync(fd).size)
    } catch (cause) {
      throw fileError(name, 'written to the cache', cause)
    }
  }

  /** Gives what is there, piece by piece. */
  async read(to: (bytes: Uint8Array) => void): Promise<void> {
    const buffer = new Uint8Array(Math.min(PIECE, this.length))
    for (let at = 0; at < this.length; ) {
      const n = this.attempt('read', () => this.fs.readSync(this.fd, buffer, 0, buffer.length, at))
      if (n === 0) break
      to(buffer.subarray(0, n))
      at += n
      await new Promise((resolve) => setImmediate(resolve)) // others' turn
    }
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; )
      done += this.attempt('written to the cache', () =>
        this.fs.writeSync(this.fd, bytes, done, bytes.length - done, this.length + done),
      )
    this.length += bytes.length
  }

  /** The part is whole, and becomes the blob: a link that may be there is replaced, not followed. */
  publish(blob: string): void {
    this.close()
    this.attempt('moved to its place in the cache', () => {
      try {
        this.fs.renameSync(this.path, blob)
      } catch (error) {
        // Where an open file cannot be replaced, the one that is there came from another process.
        if (this.fs.statSync(blob, { throwIfNoEntry: false })?.size !== this.length) throw error
        this.remove()
      }
    })
  }

  /** Leaves the part for whoever goes on with it. */
  release(): void {
    this.close()
    if (this.length === 0) return this.remove()
    try {
      this.fs.renameSync(this.path, `${this.blob}.rushlight.incomplete`)
    } catch {
      // It stays under its own name, and is found by that.
    }
  }

  remove(): void {
    this.close()
    this.fs.rmSync(this.path, { force: true })
  }

  private close(): void {
    if (!this.closed) this.fs.closeSync(this.fd)
    this.closed = true
    open.delete(this.path)
  }

  private attempt<R>(what: string, fn: () => R): R {
    try {
      return fn()
    } catch (cause) {
      throw fileError(this.name, what, cause)
    }
  }
}

/** Parts of a blob that rushlight wrote and nobody is at, the longest first. Python's are not ours to touch. */
function leftovers(blob: string): string[] {
  const fs = builtin('node:fs')!
  const at = blob.lastIndexOf('/')
  const [folder, prefix] = [blob.slice(0, at), `${blob.slice(at + 1)}.`]
  const found: { path: string; size: number }[] = []
  for (const file of fs.readdirSync(folder)) {
    if (!file.startsWith(prefix)) continue
    const whose = file.slice(prefix.length).match(/^(?:([0-9a-f]{8})-(\d+)-[0-9a-z]+\.)?rushlight\.incomplete$/)
    if (!whose) continue
    const path = `${folder}/${file}`
    const stat = fs.statSync(path, { throwIfNoEntry: false })
    if (!stat || open.has(path)) continue
    const old = Date.now() - stat.mtimeMs > ABANDONED
    if (whose[2] === undefined || old || (whose[1] === machine() && !isAlive(Number(whose[2]), stat.mtimeMs)))
      found.push({ path, size: stat.size })
  }
  return found.sort((a, b) => b.size - a.size).map(({ path }) => path)
}

/** Whether the process that wrote something at a time is still there. */
function isAlive(pid: number, wrote: number): boolean {
  if (pid === process.pid) return wrote > Date.now() - 1000 * process.uptime() // else an earlier one had our number
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
