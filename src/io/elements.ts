// How the types of elements in files become dtypes of tensors: as they are, or converted where tensors have no such dtype.
import { type DType, DTYPES, type TypedArray } from '../tensor/dtype.ts'
import { toBfloat16 } from '../tensor/half.ts'
import { DTypeError, FileFormatError, shown } from '../util/errors.ts'
import type { StoredTensor } from './checkpoint.ts'
import { readBytes } from './source.ts'

interface ElementType {
  /** The dtype that holds every value, or comes closest. */
  dtype: DType
  /** Bytes of an element in the file. */
  bytes: number
  /** Fills `to` where bytes are not taken as they are. `wrong` makes the error for a value that does not fit. */
  convert?: (from: Uint8Array<ArrayBuffer>, to: TypedArray, wrong: (expected: string, found: string) => Error) => void
}

/** Types by their name in files. F64 loses precision; everything else is exact. */
const ELEMENTS: Readonly<Record<string, ElementType>> = {
  F32: { dtype: 'float32', bytes: 4 },
  F16: { dtype: 'float16', bytes: 2 },
  BF16: { dtype: 'bfloat16', bytes: 2 },
  I64: { dtype: 'int64', bytes: 8 },
  I32: { dtype: 'int32', bytes: 4 },
  I8: { dtype: 'int8', bytes: 1 },
  U8: { dtype: 'uint8', bytes: 1 },
  BOOL: { dtype: 'bool', bytes: 1, convert: (from, to) => (to as Uint8Array).set(from.map((x) => Number(x !== 0))) },
  F64: { dtype: 'float32', bytes: 8, convert: (from, to) => (to as Float32Array).set(new Float64Array(from.buffer)) },
  I16: { dtype: 'int32', bytes: 2, convert: (from, to) => (to as Int32Array).set(new Int16Array(from.buffer)) },
  U16: { dtype: 'int32', bytes: 2, convert: (from, to) => (to as Int32Array).set(new Uint16Array(from.buffer)) },
  U32: {
    dtype: 'int64',
    bytes: 4,
    convert: (from, to) => new Uint32Array(from.buffer).forEach((x, i) => void (to[i] = BigInt(x))),
  },
  U64: {
    dtype: 'int64',
    bytes: 8,
    convert(from, to, wrong) {
      const values = new BigInt64Array(from.buffer)
      const beyond = values.find((x) => x < 0n)
      if (beyond !== undefined) throw wrong('values below 2^63', `${BigInt.asUintN(64, beyond)}`)
      ;(to as BigInt64Array).set(values)
    },
  },
  F8_E4M3: eightBits(fraction(4, 7, 'one NaN')),
  F8_E5M2: eightBits(fraction(5, 15, 'infinities')),
  F8_E4M3FNUZ: eightBits(fraction(4, 8, 'NaN for -0')),
  F8_E5M2FNUZ: eightBits(fraction(5, 16, 'NaN for -0')),
  F8_E8M0: eightBits((byte) => (byte === 255 ? Number.NaN : 2 ** (byte - 127))),
}

/** Eight-bit numbers as bfloat16, which holds them all, by a table that is made when it is first used. */
function eightBits(value: (byte: number) => number): ElementType {
  let table: Uint16Array | undefined
  return {
    dtype: 'bfloat16',
    bytes: 1,
    convert(from, to) {
      const values = (table ??= Uint16Array.from({ length: 256 }, (_, byte) => toBfloat16(value(byte))))
      from.forEach((byte, i) => void (to[i] = values[byte]))
    },
  }
}

/** Value of a byte made of a sign, an exponent of that many bits and a fraction. */
function fraction(exponentBits: number, bias: number, special: 'one NaN' | 'infinities' | 'NaN for -0') {
  const fractionBits = 7 - exponentBits
  return (byte: number): number => {
    const sign = byte & 0x80 ? -1 : 1
    const exponent = (byte & 0x7f) >> fractionBits
    const f = (byte & ((1 << fractionBits) - 1)) / (1 << fractionBits)
    if (special === 'NaN for -0' && byte === 0x80) return Number.NaN
    if (special === 'one NaN' && (byte & 0x7f) === 0x7f) return Number.NaN
    if (special === 'infinities' && exponent === (1 << exponentBits) - 1)
      return f === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    return sign * (exponent === 0 ? f * 2 ** (1 - bias) : (1 + f) * 2 ** (exponent - bias))
  }
}

/** Bytes that are converted at a time. */
const PIECE = 1 << 20

/** Whether a tensor consists of elements that a dtype can hold (else of blocks, or of what no dtype is like). */
export function hasElements(stored: StoredTensor): boolean {
  return Object.hasOwn(ELEMENTS, stored.type)
}

/** The names of the types that hasElements knows. */
export function elementTypes(): string[] {
  return Object.keys(ELEMENTS)
}

/** The dtype in which a tensor is read. @throws DTypeError when no dtype is like it */
export function dtypeIn(stored: StoredTensor): DType {
  return elementType(stored).dtype
}

function elementType({ type, name, source }: StoredTensor): ElementType {
  if (Object.hasOwn(ELEMENTS, type)) return ELEMENTS[type]
  throw new DTypeError(
    `${source.name}: tensor ${shown(name)}: no dtype holds ${type}. Supported: ${elementTypes().join(', ')}`,
  )
}

/**
 * Reads `count` elements of a tensor, from element `first` on, in the dtype of dtypeIn. Bytes go straight to their place unless
 * they are converted; `into` gives the place, and is asked anew after each wait.
 * @throws FileFormatError for a value that the dtype cannot hold
 */
export async function readElements(
  stored: StoredTensor,
  first: number,
  count: number,
  into: () => TypedArray,
): Promise<void> {
  const { source, name, offset } = stored
  const { dtype, bytes, convert } = elementType(stored)
  const start = offset + first * bytes
  if (!convert) {
    const view = () => {
      const { buffer, byteOffset } = into()
      return new Uint8Array(buffer, byteOffset, count * DTYPES[dtype].bytes)
    }
    return source.readInto(view, start)
  }
  const wrong = (expected: string, found: string) =>
    new FileFormatError(source.name, `tensor ${shown(name)}`, expected, found)
  const step = PIECE / bytes
  for (let at = 0; at < count; at += step) {
    const n = Math.min(step, count - at)
    const piece = await readBytes(source, start + at * bytes, n * bytes)
    convert(piece, into().subarray(at, at + n), wrong)
  }
}
