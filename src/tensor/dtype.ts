// The dtypes: one row each. Names are Python's; transformers.js's are aliases.
import { RushlightError } from '../util/errors.ts'

export type DType = 'float32' | 'float16' | 'bfloat16' | 'int8' | 'uint8' | 'int32' | 'int64' | 'bool'

export type TypedArray = Float32Array | Uint16Array | Int8Array | Uint8Array | Int32Array | BigInt64Array

interface DTypeInfo {
  bytes: number
  /** Ending of kernels' names. */
  suffix: string
  floating: boolean
  /** Order of promotion within a kind (bool < integer < floating). */
  kind: 0 | 1 | 2
  /** The typed array that holds it; float16 and bfloat16 as their 16 bits. */
  array: new (
    buffer: ArrayBufferLike,
    offset?: number,
    length?: number,
  ) => TypedArray
}

/** What each dtype is. bfloat16 and float16 are storage: kernels widen them, compute is float32. */
export const DTYPES: Readonly<Record<DType, DTypeInfo>> = {
  float32: { bytes: 4, suffix: 'f32', floating: true, kind: 2, array: Float32Array },
  float16: { bytes: 2, suffix: 'f16', floating: true, kind: 2, array: Uint16Array },
  bfloat16: { bytes: 2, suffix: 'bf16', floating: true, kind: 2, array: Uint16Array },
  int8: { bytes: 1, suffix: 'i8', floating: false, kind: 1, array: Int8Array },
  uint8: { bytes: 1, suffix: 'u8', floating: false, kind: 1, array: Uint8Array },
  int32: { bytes: 4, suffix: 'i32', floating: false, kind: 1, array: Int32Array },
  int64: { bytes: 8, suffix: 'i64', floating: false, kind: 1, array: BigInt64Array },
  bool: { bytes: 1, suffix: 'bool', floating: false, kind: 0, array: Uint8Array },
}

const ALIASES: Readonly<Record<string, DType>> = {
  float: 'float32',
  half: 'float16',
  int: 'int32',
  long: 'int64',
  fp32: 'float32',
  fp16: 'float16',
  bf16: 'bfloat16',
}

/** Whether there is a dtype of that name. */
export function isDtype(name: unknown): name is string {
  return typeof name === 'string' && plainName(name) !== undefined
}

function plainName(name: string): DType | undefined {
  const plain = name.replace(/^torch\./, '')
  if (Object.hasOwn(DTYPES, plain)) return plain as DType
  return Object.hasOwn(ALIASES, plain) ? ALIASES[plain] : undefined
}

/**
 * The dtype of a name: Python's ('float32', 'torch.float32', 'long'), or transformers.js's ('fp32', 'fp16').
 * @throws RushlightError for another name, listing those there are
 */
export function dtypeOf(name: string): DType {
  const dtype = plainName(name)
  if (dtype) return dtype
  throw new RushlightError(
    `Unknown dtype '${name}'. Supported: ${Object.keys(DTYPES).join(', ')}. Hint: float64 is not among them; float32 is the widest`,
  )
}

/** Names of the one device there is: computing happens in WebAssembly. */
export const DEVICES: readonly string[] = ['cpu', 'wasm', 'auto']

/** Whether gradients can be taken of it. */
export function isFloating(dtype: DType): boolean {
  return DTYPES[dtype].floating
}

/** PyTorch's promotion of two tensors' dtypes (torch.promote_types), for the dtypes there are. */
export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a
  const [ka, kb] = [DTYPES[a].kind, DTYPES[b].kind]
  if (ka !== kb) return ka > kb ? a : b
  if (ka === 2) return 'float32' // float16 with bfloat16 too
  const pair = [a, b]
  if (pair.includes('int64')) return 'int64'
  if (pair.includes('int32')) return 'int32'
  // int8 with uint8: PyTorch goes to int16, which we do not have; int32 holds the same values.
  return 'int32'
}
