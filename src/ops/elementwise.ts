// What element-wise ops are made of: result dtypes, casts, and calls of the kernels of one, two and three operands. Unrecorded.
import { DTYPES, type DType, isFloating, promoteTypes } from '../tensor/dtype.ts'
import { broadcastShapes, broadcastStrides, numelOf, type Shape } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, shown } from '../util/errors.ts'
import { type KernelName, launch } from '../wasm/index.ts'
import { asContiguous, packed } from './copying.ts'
import { withLayout } from './layout.ts'

/** What stands for a tensor of any shape: a JavaScript number, bigint or boolean. */
export type Scalar = number | bigint | boolean

/** Elements of a chunk: of cheap functions, and of those that compute much. */
const GRAIN = 1 << 15
const GRAIN_HEAVY = 1 << 13

/** Functions that cost no more than reading their operands. */
const CHEAP =
  /^(neg|abs|sign|square|relu|leaky_relu|clamp|affine|floor|ceil|round|trunc|add|sub|mul|div|add_scaled|maximum|minimum|cast|eq|ne|lt|le|where)(_backward)?_/

function grainOf(kernel: string): number {
  return CHEAP.test(kernel) ? GRAIN : GRAIN_HEAVY
}

// ---- dtypes

/** Tensors and Nd arrays alike. */
interface Typed {
  readonly dtype: DType
  readonly shape: Shape
}

function isTyped(x: Typed | Scalar): x is Typed {
  return (x as Typed | null)?.shape !== undefined
}

function scalarType(value: Scalar): DType {
  if (typeof value === 'boolean') return 'bool'
  if (typeof value !== 'number' && typeof value !== 'bigint')
    throw new DTypeError(`an operand must be a tensor, a number, a bigint or a boolean, found ${shown(value)}`)
  return typeof value === 'bigint' || Number.isInteger(value) ? 'int64' : 'float32'
}

/** The dtype of two kinds of operands, of which the first says more: the other counts only where its kind is wider. */
function combine(first: DType | undefined, other: DType | undefined): DType | undefined {
  if (first === undefined || other === undefined) return first ?? other
  return DTYPES[other].kind > DTYPES[first].kind ? promoteTypes(first, other) : first
}

/**
 * The dtype of an operation on these (torch.result_type): tensors with dimensions decide; those without, and then scalars, count
 * only where they are of a wider kind. A whole JavaScript number is an integer.
 */
export function resultType(...operands: (Typed | Scalar)[]): DType {
  let [dimensioned, single, scalar]: (DType | undefined)[] = []
  const join = (a: DType | undefined, b: DType) => (a === undefined ? b : promoteTypes(a, b))
  for (const x of operands)
    if (!isTyped(x)) scalar = join(scalar, scalarType(x))
    else if (x.shape.length > 0) dimensioned = join(dimensioned, x.dtype)
    else single = join(single, x.dtype)
  return combine(dimensioned, combine(single, scalar)) as DType
}

/** The dtype that kernels compute in: float32 for floats, int64, and int32 for what is smaller. */
export function computeType(dtype: DType): 'float32' | 'int32' | 'int64' {
  return isFloating(dtype) ? 'float32' : dtype === 'int64' ? 'int64' : 'int32'
}

/** The dtype of functions of reals: integers and bool give float32. */
export function floatType(dtype: DType): DType {
  return isFloating(dtype) ? dtype : 'float32'
}

/** Casts that kernels do in one step, besides those between bytes. */
const DIRECT: Readonly<Record<DType, readonly DType[]>> = {
  float32: ['float16', 'bfloat16', 'int8', 'uint8', 'int32', 'int64', 'bool'],
  float16: ['float32'],
  bfloat16: ['float32'],
  int8: ['float32', 'int64'],
  uint8: ['float32', 'int64', 'bool'],
  int32: ['float32', 'int64', 'bool'],
  int64: ['float32', 'int8', 'uint8', 'int32', 'bool'],
  bool: [],
}

/** The tensor in another dtype, contiguous: itself when it is in that dtype already (then as it is). */
export function cast(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x
  if (x.dtype === 'bool') return cast(asByte(x), dtype)
  if (x.dtype === 'uint8' && dtype === 'int8') return relabeled(packed(x), dtype)
  if (x.dtype === 'int8' && (dtype === 'uint8' || dtype === 'bool')) return cast(relabeled(x, 'uint8'), dtype)
  if (!DIRECT[x.dtype].includes(dtype))
    return cast(cast(x, isFloating(x.dtype) || isFloating(dtype) ? 'float32' : 'int64'), dtype)
  const from = asContiguous(x)
  const out = Tensor.empty(x.shape, dtype, 'to')
  const kernel = `cast_${DTYPES[x.dtype].suffix}_${DTYPES[dtype].suffix}` as 'cast_f32_i64'
  launch(kernel, [from.ptr, out.ptr], numelOf(x.shape), GRAIN)
  return out
}

/** The bytes of a bool as uint8, which they are already. */
export function asByte(x: Tensor): Tensor {
  return relabeled(x, 'uint8')
}

/** The same memory under another dtype of the same size. */
function relabeled(x: Tensor, dtype: DType): Tensor {
  return new Tensor(x.storage.retain(), x.shape, x.strides, x.offset, dtype)
}

/** A tensor or scalar as a tensor of that dtype. */
export function operand(x: Tensor | Scalar, dtype: DType): Tensor {
  return x instanceof Tensor ? cast(x, dtype) : Tensor.from([x] as number[], [], dtype)
}

// ---- kernels

/** A function of one float32: `kernel(x, out, …params)`. Into `out` where given, which may be `x`. */
export function mapF32(
  kernel: 'exp_f32' | KernelName,
  x: Tensor,
  params: number[] = [],
  out = Tensor.empty(x.shape, 'float32', kernel),
): Tensor {
  const dense = asContiguous(cast(x, 'float32'))
  launch(
    kernel as 'clamp_f32',
    [dense.ptr, out.ptr, ...(params as [number, number])],
    numelOf(x.shape),
    grainOf(kernel),
  )
  return out
}

/** Scale and shift that add, sub and mul of a tensor and a number are: one pass over the tensor alone. Null for other functions. */
export function affine(fn: string, scalar: number): [scale: number, shift: number] | null {
  if (fn === 'mul') return [scalar, -0] // adding -0 leaves the sign of zeros
  return fn === 'add' ? [1, scalar] : fn === 'sub' ? [1, -scalar] : null
}

/** Elements from which copying a transposed operand first, by tiles, pays. */
const WORTH_PACKING = 1 << 14

/** The operand itself, or a copy where reading it in row-major order would touch a cache line for each element. */
function readable(t: Tensor): Tensor {
  const axes = t.strides.filter((_, d) => t.shape[d] > 1)
  const transposed = axes.length > 1 && axes[axes.length - 1] > 1 && axes.includes(1)
  return transposed && t.numel() >= WORTH_PACKING ? packed(t) : t
}

/** Calls `run` with a layout of the operands at `shape` and with their addresses. */
function atShape(shape: Shape, operands: Tensor[], run: (layout: number, pointers: number[]) => void): void {
  const read = operands.map(readable)
  const strides = read.map((t) => broadcastStrides(t.shape, t.strides, shape))
  withLayout(shape, strides, (layout) =>
    run(
      layout,
      read.map((t) => t.ptr),
    ),
  )
  read.forEach((t, i) => {
    if (t !== operands[i]) t.dispose()
  })
}

/**
 * A function of two tensors of the kernel's dtype, broadcast: `kernel(a, b, out, …params, layout)`. Into `out` where given, which
 * is contiguous and of the result's shape.
 */
export function zip(
  kernel: KernelName,
  a: Tensor,
  b: Tensor,
  dtype: DType,
  params: number[] = [],
  out?: Tensor,
): Tensor {
  const shape = broadcastShapes(kernel.replace(/_[a-z0-9]+$/, ''), a.shape, b.shape)
  const result = out ?? Tensor.empty(shape, dtype, kernel)
  atShape(shape, [a, b], (layout, [x, y]) =>
    launch(kernel as 'add_f32', [x, y, result.ptr, ...(params as []), layout], numelOf(shape), grainOf(kernel)),
  )
  return result
}

/** A function of two tensors or scalars in float32. */
export function zipF32(kernel: KernelName, a: Tensor | Scalar, b: Tensor | Scalar, ...params: number[]): Tensor {
  return zip(kernel, operand(a, 'float32'), operand(b, 'float32'), 'float32', params)
}

/** Elements of a where the condition holds, else of b, which have one dtype; all broadcast. */
export function choose(op: string, condition: Tensor, a: Tensor, b: Tensor, out?: Tensor): Tensor {
  if (condition.dtype !== 'bool' && condition.dtype !== 'uint8')
    throw new DTypeError(`${op}: the condition must be bool, found ${condition.dtype}. Hint: x.ne(0)`)
  const shape = broadcastShapes(op, condition.shape, broadcastShapes(op, a.shape, b.shape))
  const result = out ?? Tensor.empty(shape, a.dtype, op)
  atShape(shape, [condition, a, b], (layout, [c, x, y]) =>
    launch(`where_b${DTYPES[a.dtype].bytes}` as 'where_b4', [c, x, y, result.ptr, layout], numelOf(shape), GRAIN),
  )
  return result
}
