// How strided operands are told to kernels: axes merged where they run on without a gap, then written down for assembly/strided.ts.
import { isContiguous, type Shape } from '../tensor/shape.ts'
import { i32View, withTemp } from '../wasm/index.ts'

/** Axes merged where every operand runs on without a gap, sizes of 1 left out. */
export function collapse(shape: Shape, strides: readonly Shape[]): { shape: number[]; strides: number[][] } {
  const out: number[] = []
  const merged: number[][] = strides.map(() => [])
  shape.forEach((size, d) => {
    if (size === 1) return
    const last = out.length - 1
    if (last >= 0 && strides.every((s, i) => merged[i][last] === s[d] * size)) {
      out[last] *= size
      strides.forEach((s, i) => {
        merged[i][last] = s[d]
      })
    } else {
      out.push(size)
      strides.forEach((s, i) => void merged[i].push(s[d]))
    }
  })
  return { shape: out, strides: merged }
}

const DENSE = 0
const UNIFORM = 1
const STRIDED = 2
/** Operands that a layout has room for. */
const OPERANDS = 3

/** How one operand is read. */
function wayOf(shape: Shape, strides: Shape): number {
  if (strides.every((s) => s === 0)) return UNIFORM
  let step = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    if (strides[d] !== step) return STRIDED
    step *= shape[d]
  }
  return DENSE
}

/**
 * Calls `fn` with the address of a layout for kernels (see assembly/strided.ts), or 0 when every operand is dense.
 * Strides are in elements, all at `shape`.
 */
export function withLayout(shape: Shape, strides: readonly Shape[], fn: (layout: number) => void): void {
  if (strides.every((s) => isContiguous(shape, s))) return fn(0)
  const merged = collapse(shape, strides)
  const ways = merged.strides.map((s) => wayOf(merged.shape, s))
  const words = [
    merged.shape.length,
    ...ways,
    ...new Array<number>(OPERANDS - ways.length).fill(DENSE),
    ...merged.shape,
    ...merged.strides.flat(),
  ]
  withTemp(words.length * 4, (ptr) => {
    i32View(ptr, words.length).set(words)
    fn(ptr)
  })
}
