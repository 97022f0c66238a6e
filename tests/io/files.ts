// Files for the tests of io: from their parts, well-formed or not, and what an error about one must say.
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import {
  bytesSink,
  bytesSource,
  type ByteSource,
  type Checkpoint,
  readBytes,
  type StoredTensor,
} from '../../src/io/index.ts'
import { FileFormatError } from '../../src/util/errors.ts'

/** A file that Python wrote (tests/golden/make_io.py). */
export function golden(file: string): Uint8Array {
  return new Uint8Array(readFileSync(`tests/golden/io/${file}`))
}

/** A safetensors file of any header and data; `length` lies about the header's. */
export function safetensorsFile(header: unknown, dataBytes = 0, length?: bigint): Uint8Array {
  const text =
    header instanceof Uint8Array
      ? header
      : new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const file = new Uint8Array(8 + text.length + dataBytes)
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true)
  file.set(text, 8)
  return file
}

/** Fails unless `run` throws a FileFormatError that names file and field, and says what the pattern asks. */
export async function refuses(run: () => Promise<unknown>, field: string, pattern: RegExp): Promise<void> {
  try {
    await run()
  } catch (error) {
    assert.instance(error, FileFormatError)
    const { message } = error as FileFormatError
    assert.is((error as FileFormatError).field, field, message)
    assert.ok(message.startsWith(`${(error as FileFormatError).file}: ${field}: expected `), message)
    assert.match(message, pattern)
    return
  }
  assert.unreachable(`expected an error about ${field}`)
}

/** The bytes of a tensor. */
export function contentOf({ source, offset, bytes }: StoredTensor): Promise<Uint8Array> {
  return readBytes(source, offset, bytes)
}

/** What writing to memory gives. */
export async function written(write: (sink: ReturnType<typeof bytesSink>) => Promise<void>): Promise<Uint8Array> {
  const sink = bytesSink()
  await write(sink)
  return sink.bytes()
}

/** Every tensor lies inside its source, apart from the others unless `shared`, and is as long as it says; throws where it is not so. */
export function checkConsistent({ tensors }: Checkpoint, shared = false): void {
  let end = 0
  for (const [name, tensor] of tensors) {
    assert.is(tensor.name, name)
    assert.ok(tensor.offset + tensor.bytes <= tensor.source.size, `${name} ends in the file`)
    assert.ok(shared || tensor.bytes === 0 || tensor.offset >= end, `${name} overlaps`)
    if (tensor.bytes > 0) end = tensor.offset + tensor.bytes
    assert.ok(tensor.shape.every((size) => Number.isSafeInteger(size) && size >= 0))
  }
}

/** A source that has fewer bytes than it said, like a file that shrinks while it is read. */
export function shrinking(bytes: Uint8Array, to: number): ByteSource {
  const inner = bytesSource(bytes.subarray(0, to), 'shrinking')
  return { ...inner, size: bytes.length }
}
