// Arithmetic on shapes and strides (in elements), and the errors that speak of them.
import { ShapeError } from '../util/errors.ts'

export type Shape = readonly number[]

export function numelOf(shape: Shape): number {
  let n = 1
  for (const size of shape) n *= size
  return n
}

/** @throws ShapeError where a size is negative or no whole number */
export function checkSizes(op: string, shape: Shape): void {
  for (const size of shape)
    if (!Number.isInteger(size) || size < 0)
      throw new ShapeError(`${op}: sizes must be whole numbers from 0 up, found shape ${show(shape)}`)
}

/** Row-major strides. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step
    step *= Math.max(shape[i], 1)
  }
  return strides
}

/** Whether elements lie one after another in row-major order; axes of size 1 may have any stride. */
export function isContiguous(shape: Shape, strides: Shape): boolean {
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1) {
      if (strides[i] !== step) return shape.includes(0)
      step *= shape[i]
    }
  }
  return true
}

/** Whether two shapes (or strides) are the same. */
export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** `[2, 3]`, as errors and prints show a shape. */
export function show(shape: Shape): string {
  return `[${shape.join(', ')}]`
}

/**
 * A dimension counted from the end when negative.
 * @throws ShapeError naming op and range
 */
export function normalizeDim(op: string, dim: number, rank: number): number {
  const range = Math.max(rank, 1)
  if (!Number.isInteger(dim) || dim < -range || dim >= range)
    throw new ShapeError(
      `${op}: dim ${dim} is out of range, expected ${-range} to ${range - 1} for a tensor of ${rank} dimensions`,
    )
  return dim < 0 ? dim + range : dim
}

/**
 * The dimensions of a reduction, sorted: none given means all.
 * @throws ShapeError for one out of range or named twice
 */
export function normalizeDims(op: string, dims: number | Shape | null | undefined, rank: number): number[] {
  if (dims === null || dims === undefined) return Array.from({ length: rank }, (_, i) => i)
  const list = (typeof dims === 'number' ? [dims] : [...dims]).map((d) => normalizeDim(op, d, rank))
  if (list.length === 0) return Array.from({ length: rank }, (_, i) => i)
  if (new Set(list).size !== list.length) throw new ShapeError(`${op}: dim ${show(list)} names a dimension twice`)
  return rank === 0 ? [] : list.sort((a, b) => a - b)
}

/**
 * The common shape of broadcasting.
 * @throws ShapeError naming op and both shapes
 */
export function broadcastShapes(op: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length)
  const out = new Array<number>(rank)
  for (let i = 1; i <= rank; i++) {
    const x = a[a.length - i] ?? 1
    const y = b[b.length - i] ?? 1
    if (x !== y && x !== 1 && y !== 1)
      throw new ShapeError(
        `${op}: shapes ${show(a)} and ${show(b)} do not broadcast: ${x} and ${y} differ at dimension ${rank - i}. ` +
          'Hint: sizes must be equal or 1, counted from the last dimension',
      )
    out[rank - i] = x === 1 ? y : x
  }
  return out
}

/** Strides of a tensor seen at a broadcast shape: 0 where it is repeated. */
export function broadcastStrides(shape: Shape, strides: Shape, to: Shape): number[] {
  const lead = to.length - shape.length
  return to.map((size, i) => (i < lead || (shape[i - lead] === 1 && size !== 1) ? 0 : strides[i - lead]))
}

/**
 * A shape with its one -1 filled in.
 * @throws ShapeError naming op, input shape and target
 */
export function inferShape(op: string, from: Shape, to: Shape): number[] {
  const n = numelOf(from)
  const free = to.indexOf(-1)
  const out = [...to]
  const known = to.reduce((product, size, i) => (i === free ? product : product * size), 1)
  const fits = free < 0 ? known === n : known > 0 && n % known === 0
  if (!fits || to.some((size, i) => i !== free && (size < 0 || !Number.isInteger(size))))
    throw new ShapeError(`${op}: shape ${show(to)} does not fit a tensor of shape ${show(from)} with ${n} elements`)
  if (free >= 0) out[free] = n / known
  return out
}

/** Strides of `shape` over the same memory, or null where only a copy can give that shape. */
export function viewStrides(from: Shape, strides: Shape, shape: Shape): number[] | null {
  if (isContiguous(from, strides)) return contiguousStrides(shape)
  const axes = from.map((size, i) => ({ size, step: strides[i] })).filter(({ size }) => size !== 1)
  const out = new Array<number>(shape.length).fill(1)
  let to = shape.length - 1
  for (let last = axes.length - 1; last >= 0; last--) {
    // A run of axes that are contiguous among themselves is cut up as a whole.
    let { size: run, step } = axes[last]
    while (last > 0 && axes[last - 1].step === axes[last].size * axes[last].step) run *= axes[--last].size
    let filled = 1
    while (to >= 0 && filled < run) {
      out[to] = step
      step *= shape[to]
      filled *= shape[to--]
    }
    if (filled !== run) return null
  }
  return out
}
