// Where written bytes go. A file appears under its name only when it is whole.
import { FileError } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'
import { fileError } from './source.ts'

export interface ByteSink {
  /** What errors call it. */
  readonly name: string
  /** Takes the bytes before it returns its promise: a view over the heap may go stale afterwards. */
  write(bytes: Uint8Array): Promise<void>
  /** Makes what was written visible, in place of what was there. */
  commit(): Promise<void>
  /** Leaves no trace; after commit it does nothing. */
  discard(): Promise<void>
}

/**
 * A local file (Node, Deno, Bun), written beside its place and renamed at the end.
 * @throws FileError when it cannot be created
 */
export function fileSink(path: string): ByteSink {
  const fs = builtin('node:fs')
  if (!fs) throw new FileError(`${path}: there is no file system here`)
  const attempt = <R>(what: string, fn: () => R): R => {
    try {
      return fn()
    } catch (cause) {
      throw fileError(path, what, cause)
    }
  }
  const temporary = `${path}.${process.pid}-${Math.random().toString(36).slice(2, 10)}.tmp`
  const fd = attempt('created', () => fs.openSync(temporary, 'wx'))
  let open = true
  const close = () => {
    if (open) fs.closeSync(fd)
    open = false
  }
  let committed = false
  return {
    name: path,
    async write(bytes) {
      for (let done = 0; done < bytes.length; )
        done += attempt('written', () => fs.writeSync(fd, bytes, done, bytes.length - done))
    },
    async commit() {
      attempt('written', () => {
        fs.fsyncSync(fd)
        close()
        fs.renameSync(temporary, path)
      })
      committed = true
    },
    async discard() {
      close()
      if (!committed) fs.rmSync(temporary, { force: true })
    },
  }
}

/** Memory as a sink; `bytes()` gives what was committed. */
export function bytesSink(name = 'bytes'): ByteSink & { bytes(): Uint8Array<ArrayBuffer> } {
  const parts: Uint8Array[] = []
  let whole: Uint8Array<ArrayBuffer> | undefined
  return {
    name,
    async write(bytes) {
      parts.push(bytes.slice())
    },
    async commit() {
      whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
      let at = 0
      for (const part of parts.splice(0)) {
        whole.set(part, at)
        at += part.length
      }
    },
    async discard() {
      parts.length = 0
    },
    bytes() {
      if (!whole) throw new FileError(`${name}: nothing has been committed`)
      return whole
    },
  }
}
