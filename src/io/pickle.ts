// A pickle machine that makes plain values and nothing else. It knows the instructions that torch.save writes; a callable is only
// ever a name, which the caller recognizes or refuses: nothing in a file is run.
import { FileFormatError, shown } from '../util/errors.ts'
import { decodeUtf8 } from './source.ts'

/** A value of a pickle. Dictionaries are Maps, lists arrays; integers beyond 2^53 are bigint. */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Tuple
  | Global
  | Pickled[]
  | Map<Pickled, Pickled>
  | object

export class Tuple {
  constructor(readonly items: readonly Pickled[]) {}
}

/** A callable or class by name. */
export class Global {
  constructor(readonly name: string) {}
}

/** What the machine asks about a file. */
export interface PickleHost {
  /** What a call of a known callable gives; undefined for one that is not known, which refuses the file. */
  call(name: string, args: readonly Pickled[]): Pickled | undefined
  /** Whether a name may stand in the file at all. */
  knows(name: string): boolean
  /** What stands outside of the pickle (a storage), by its id. */
  persistent(id: Pickled): Pickled
}

/** Thrown when the pickle goes on beyond the bytes there are. */
export class PickleEnds extends Error {}

/** Bytes of an integer at most: more than any size or version has. */
const MAX_INTEGER = 64

/** Runs one pickle from the bytes. Every instruction takes at least a byte, and none makes more than it reads: there is nothing to blow up. */
export class PickleReader {
  at = 0
  private readonly view: DataView
  private stack: Pickled[] = []
  private marks: Pickled[][] = []
  private readonly memo = new Map<number, Pickled>()

  /** @param field what errors call the pickle */
  constructor(
    private readonly bytes: Uint8Array<ArrayBuffer>,
    private readonly file: string,
    private readonly field: string,
    private readonly host: PickleHost,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** The value of the pickle that begins at `at`, which moves behind it. @throws FileFormatError, PickleEnds */
  read(): Pickled {
    this.stack = []
    this.marks = []
    this.memo.clear()
    for (;;) {
      const start = this.at
      const code = this.bytes[this.take(1)]
      const run = INSTRUCTIONS.get(code)
      if (run === STOP) return this.pop()
      if (!run)
        throw this.wrong(
          'instructions that torch.save writes',
          `${shown(String.fromCharCode(code))} (${code}) at ${start}`,
        )
      run(this)
    }
  }

  wrong(expected: string, found: string, hint?: string): FileFormatError {
    return new FileFormatError(this.file, this.field, expected, found, hint)
  }

  take(n: number): number {
    const start = this.at
    if (n > this.bytes.length - start) throw new PickleEnds()
    this.at += n
    return start
  }

  u8 = () => this.bytes[this.take(1)]
  u16 = () => this.view.getUint16(this.take(2), true)
  u32 = () => this.view.getUint32(this.take(4), true)
  i32 = () => this.view.getInt32(this.take(4), true)
  f64 = () => this.view.getFloat64(this.take(8), false)
  u64(): number {
    const start = this.take(8)
    return this.view.getUint32(start, true) + this.view.getUint32(start + 4, true) * 2 ** 32
  }

  chunk(length: number): Uint8Array {
    const start = this.take(length)
    return this.bytes.subarray(start, start + length)
  }

  text(length: number): string {
    return decodeUtf8(this.chunk(length), this.file, this.field)
  }

  line(): string {
    const end = this.bytes.indexOf(10, this.at)
    if (end < 0) throw new PickleEnds()
    const text = this.text(end - this.at)
    this.at++
    return text
  }

  /** Little-endian, two's complement. */
  integer(length: number): number | bigint {
    if (length > MAX_INTEGER) throw this.wrong(`integers of at most ${MAX_INTEGER} bytes`, `one of ${length}`)
    let value = 0n
    this.chunk(length).forEach((byte, i) => (value |= BigInt(byte) << BigInt(8 * i)))
    value = BigInt.asIntN(8 * length, value)
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
  }

  push(value: Pickled): void {
    this.stack.push(value)
  }

  pop(): Pickled {
    const value = this.stack.pop()
    if (value === undefined) throw this.wrong('a value on the stack', 'nothing')
    return value
  }

  top(): Pickled {
    const value = this.stack.at(-1)
    if (value === undefined) throw this.wrong('a value on the stack', 'nothing')
    return value
  }

  mark(): void {
    this.marks.push(this.stack)
    this.stack = []
  }

  popMark(): Pickled[] {
    const items = this.stack
    const before = this.marks.pop()
    if (!before) throw this.wrong('a mark on the stack', 'none')
    this.stack = before
    return items
  }

  put(index: number): void {
    this.memo.set(index, this.top())
  }

  memoize(): void {
    this.put(this.memo.size)
  }

  get(index: number): void {
    const value = this.memo.get(index)
    if (value === undefined) throw this.wrong('a value that was stored before', `number ${index}, which was not`)
    this.push(value)
  }

  append(items: Pickled[]): void {
    const list = this.top()
    if (!Array.isArray(list)) throw this.wrong('a list to append to', kindOf(list))
    for (const item of items) list.push(item)
  }

  set(items: Pickled[]): void {
    const map = this.top()
    if (!(map instanceof Map)) throw this.wrong('a dictionary to fill', kindOf(map))
    if (items.length % 2 !== 0) throw this.wrong('keys with their values', `${items.length} items`)
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1])
  }

  global(module: Pickled, name: Pickled): void {
    if (typeof module !== 'string' || typeof name !== 'string')
      throw this.wrong('a name in text', `${kindOf(module)} and ${kindOf(name)}`)
    const whole = `${module}.${name}`
    if (!this.host.knows(whole)) throw this.refusal(whole)
    this.push(new Global(whole))
  }

  reduce(): void {
    const args = this.pop()
    const callable = this.pop()
    if (!(callable instanceof Global) || !(args instanceof Tuple))
      throw this.wrong('a callable and its arguments', `${kindOf(callable)} and ${kindOf(args)}`)
    const result = this.host.call(callable.name, args.items)
    if (result === undefined) throw this.refusal(callable.name)
    this.push(result)
  }

  /** Attributes of an object (a state_dict's `_metadata`): nothing here has any. */
  build(): void {
    this.pop()
    this.top()
  }

  persistent(): void {
    this.push(this.host.persistent(this.pop()))
  }

  private refusal(name: string): FileFormatError {
    return this.wrong(
      'tensors and plain values',
      `a call of ${shown(name)}`,
      'nothing in a file is ever run; in Python, save the state_dict alone: torch.save(model.state_dict(), …)',
    )
  }
}

/** What a value is, for errors. */
export function kindOf(value: Pickled): string {
  if (value === null) return 'None'
  if (value instanceof Map) return 'a dictionary'
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Tuple) return 'a tuple'
  if (value instanceof Global) return shown(value.name)
  return typeof value === 'object' ? 'an object' : shown(value)
}

type Instruction = (machine: PickleReader) => void
const STOP: Instruction = () => {}

/** By code; the names are Python's (pickletools). */
const INSTRUCTIONS = new Map<number, Instruction>([
  [0x80, (m) => protocol(m)], // PROTO
  [0x95, (m) => void m.u64()], // FRAME
  [0x2e, STOP],
  [0x28, (m) => m.mark()], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x31, (m) => void m.popMark()], // POP_MARK
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x4a, (m) => m.push(m.i32())], // BININT
  [0x4b, (m) => m.push(m.u8())], // BININT1
  [0x4d, (m) => m.push(m.u16())], // BININT2
  [0x8a, (m) => m.push(m.integer(m.u8()))], // LONG1
  [0x8b, (m) => m.push(m.integer(m.u32()))], // LONG4
  [0x47, (m) => m.push(m.f64())], // BINFLOAT
  [0x58, (m) => m.push(m.text(m.u32()))], // BINUNICODE
  [0x8c, (m) => m.push(m.text(m.u8()))], // SHORT_BINUNICODE
  [0x8d, (m) => m.push(m.text(m.u64()))], // BINUNICODE8
  [0x42, (m) => m.push(m.chunk(m.u32()))], // BINBYTES
  [0x43, (m) => m.push(m.chunk(m.u8()))], // SHORT_BINBYTES
  [0x54, (m) => m.push(m.text(m.u32()))], // BINSTRING
  [0x55, (m) => m.push(m.text(m.u8()))], // SHORT_BINSTRING
  [0x5d, (m) => m.push([])], // EMPTY_LIST
  [0x7d, (m) => m.push(new Map())], // EMPTY_DICT
  [0x29, (m) => m.push(new Tuple([]))], // EMPTY_TUPLE
  [0x74, (m) => m.push(new Tuple(m.popMark()))], // TUPLE
  [0x85, (m) => m.push(new Tuple([m.pop()]))], // TUPLE1
  [0x86, (m) => tuple(m, 2)], // TUPLE2
  [0x87, (m) => tuple(m, 3)], // TUPLE3
  [0x61, (m) => append(m)], // APPEND
  [0x65, (m) => m.append(m.popMark())], // APPENDS
  [0x73, (m) => setItem(m)], // SETITEM
  [0x75, (m) => m.set(m.popMark())], // SETITEMS
  [0x71, (m) => m.put(m.u8())], // BINPUT
  [0x72, (m) => m.put(m.u32())], // LONG_BINPUT
  [0x94, (m) => m.memoize()], // MEMOIZE
  [0x68, (m) => m.get(m.u8())], // BINGET
  [0x6a, (m) => m.get(m.u32())], // LONG_BINGET
  [0x63, (m) => m.global(m.line(), m.line())], // GLOBAL
  [0x93, (m) => stackGlobal(m)], // STACK_GLOBAL
  [0x52, (m) => m.reduce()], // REDUCE
  [0x62, (m) => m.build()], // BUILD
  [0x51, (m) => m.persistent()], // BINPERSID
])

function protocol(m: PickleReader): void {
  const version = m.u8()
  if (version < 2 || version > 5) throw m.wrong('pickle protocol 2 to 5', `${version}`)
}

function tuple(m: PickleReader, n: number): void {
  const items: Pickled[] = []
  for (let i = 0; i < n; i++) items.unshift(m.pop())
  m.push(new Tuple(items))
}

function append(m: PickleReader): void {
  const item = m.pop()
  m.append([item])
}

function setItem(m: PickleReader): void {
  const value = m.pop()
  m.set([m.pop(), value])
}

function stackGlobal(m: PickleReader): void {
  const name = m.pop()
  m.global(m.pop(), name)
}
