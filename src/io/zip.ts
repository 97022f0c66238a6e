// Zip archives as torch.save writes them: where each entry's bytes lie. Entries are stored, not deflated, so they are read in place.
import { FileFormatError, shown } from '../util/errors.ts'
import { type ByteSource, decodeUtf8, readBytes } from './source.ts'

/** Bytes of an entry in its archive. */
export interface ZipEntry {
  readonly name: string
  readonly offset: number
  readonly bytes: number
}

const END = 0x06054b50
const END_BYTES = 22
const COMMENT = 0xffff
const END_64 = 0x06064b50
const END_64_BYTES = 56
const LOCATOR = 0x07064b50
const LOCATOR_BYTES = 20
const ENTRY = 0x02014b50
const ENTRY_BYTES = 46
const LOCAL = 0x04034b50
const LOCAL_BYTES = 30
const LONG = 0xffffffff // stands where a 64-bit field has the number
/** A directory is read whole; one entry takes about 100 bytes. */
const DIRECTORY_LIMIT = 1 << 26

/** The entries of an archive by name. @throws FileFormatError for what is no archive, is damaged, or has deflated entries */
export async function readZip(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const wrong = (field: string, expected: string, found: string, hint?: string) =>
    new FileFormatError(source.name, field, expected, found, hint)
  const tailStart = Math.max(source.size - END_BYTES - COMMENT, 0)
  const tail = await readBytes(source, tailStart, source.size - tailStart)
  const view = new DataView(tail.buffer)
  let end = tail.length - END_BYTES
  while (end >= 0 && view.getUint32(end, true) !== END) end--
  if (end < 0)
    throw wrong('end of the archive', 'the directory of a zip archive', 'none', 'the file is truncated or damaged')

  let count = view.getUint16(end + 10, true)
  let size = view.getUint32(end + 12, true)
  let start = view.getUint32(end + 16, true)
  const locator = tailStart + end - LOCATOR_BYTES
  if ((count === 0xffff || size === LONG || start === LONG) && locator >= 0) {
    const at = new DataView((await readBytes(source, locator, LOCATOR_BYTES)).buffer)
    if (at.getUint32(0, true) === LOCATOR) {
      const found = u64(at, 8)
      if (found > source.size - END_64_BYTES)
        throw wrong('zip64 directory', `a place inside ${source.size} bytes`, `${found}`)
      const end64 = new DataView((await readBytes(source, found, END_64_BYTES)).buffer)
      if (end64.getUint32(0, true) !== END_64) throw wrong('zip64 directory', 'its signature', 'another')
      ;[count, size, start] = [u64(end64, 32), u64(end64, 40), u64(end64, 48)]
    }
  }
  if (start + size > source.size || size > DIRECTORY_LIMIT)
    throw wrong(
      'directory of the archive',
      `at most ${DIRECTORY_LIMIT} bytes inside the file's ${source.size}`,
      `${size} at ${start}`,
    )
  if (count > size / ENTRY_BYTES)
    throw wrong('entries of the archive', `at most ${Math.floor(size / ENTRY_BYTES)}`, `${count}`)
  return readDirectory(source, await readBytes(source, start, size), count)
}

async function readDirectory(
  source: ByteSource,
  bytes: Uint8Array<ArrayBuffer>,
  count: number,
): Promise<Map<string, ZipEntry>> {
  const view = new DataView(bytes.buffer)
  const entries = new Map<string, ZipEntry>()
  for (let i = 0, at = 0; i < count; i++) {
    const wrong = (what: string, expected: string, found: string, hint?: string) =>
      new FileFormatError(source.name, `entry ${i}${what}`, expected, found, hint)
    if (at + ENTRY_BYTES > bytes.length || view.getUint32(at, true) !== ENTRY)
      throw wrong('', 'an entry of the directory', 'something else')
    const nameLength = view.getUint16(at + 28, true)
    const extraLength = view.getUint16(at + 30, true)
    const next = at + ENTRY_BYTES + nameLength + extraLength + view.getUint16(at + 32, true)
    if (next > bytes.length) throw wrong('', `to end inside the directory's ${bytes.length} bytes`, `${next}`)
    const extra = at + ENTRY_BYTES + nameLength
    const name = decodeUtf8(bytes.subarray(at + ENTRY_BYTES, extra), source.name, `entry ${i}: name`)
    if (entries.has(name)) throw wrong(`: ${shown(name)}`, 'each name once', 'it twice')
    const method = view.getUint16(at + 10, true)
    const deflated = view.getUint32(at + 20, true)
    const [size, offset] = longFields(view, extra, extraLength, [
      view.getUint32(at + 24, true),
      deflated,
      view.getUint32(at + 42, true),
    ]).filter((_, field) => field !== 1)
    if (method !== 0)
      throw wrong(
        `: ${shown(name)}`,
        'stored bytes, as torch.save writes them',
        `compression ${method}`,
        'zip it anew without compression (zip -0)',
      )
    if (offset + LOCAL_BYTES > source.size)
      throw wrong(`: ${shown(name)}`, `a place inside ${source.size} bytes`, `${offset}`)
    const local = new DataView((await readBytes(source, offset, LOCAL_BYTES)).buffer)
    if (local.getUint32(0, true) !== LOCAL) throw wrong(`: ${shown(name)}`, 'its header in the archive', 'another')
    const data = offset + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true)
    if (data + size > source.size)
      throw wrong(
        `: ${shown(name)}`,
        `bytes inside the file's ${source.size}`,
        `${data} to ${data + size}`,
        'the file is truncated or damaged',
      )
    entries.set(name, { name, offset: data, bytes: size })
    at = next
  }
  return entries
}

/** Size, compressed size and offset; those that are LONG stand in the zip64 extra field, in that order. */
function longFields(view: DataView, extra: number, length: number, fields: number[]): number[] {
  for (let at = extra; at + 4 <= extra + length; ) {
    const bytes = view.getUint16(at + 2, true)
    if (view.getUint16(at, true) === 1) {
      let from = at + 4
      const end = Math.min(from + bytes, extra + length)
      return fields.map((value) => {
        if (value !== LONG || from + 8 > end) return value
        from += 8
        return u64(view, from - 8)
      })
    }
    at += 4 + bytes
  }
  return fields
}

function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
}
