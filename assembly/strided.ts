// Operands behind strides. Kernels are written for dense blocks; what is strided or broadcast is brought into scratch block by block.
//
// A layout says how the elements of an operation are walked, in int32 words: rank, the way each of three operands is read (`Way`),
// the sizes, then the strides of operands 0, 1 and 2 in elements. No layout (0) means that every operand is dense.

/** Elements of a block. */
export const BLOCK: i32 = 1024
/** Bytes of scratch for one operand's block, of at most 8 bytes an element. */
const STAGE: usize = 8192
const MAX_OPERANDS: usize = 3

/** How an operand is read: one element after another, always the same element, or by strides. */
// @ts-ignore: decorator
@inline
const DENSE: i32 = 0
// @ts-ignore: decorator
@inline
const UNIFORM: i32 = 1

// @ts-ignore: decorator
@inline
function wayOf(layout: usize, operand: i32): i32 {
  return layout == 0 ? DENSE : load<i32>(layout + ((<usize>operand) << 2), 4)
}

/** Elements that one step of a kernel takes: all of them where nothing needs to be brought into scratch. */
export function blockOf(layout: usize, n: i32): i32 {
  return layout == 0 ? n : BLOCK
}

/**
 * Address of elements [i, i + n) of an operand, one after another: where they lie, or a copy in scratch. `n` is at most BLOCK
 * unless there is no layout; the blocks of a call start at `begin`.
 */
export function stage<T>(src: usize, layout: usize, operand: i32, begin: i32, i: i32, n: i32, scratch: usize): usize {
  const way = wayOf(layout, operand)
  if (way == DENSE) return src + <usize>i * sizeof<T>()
  const to = scratch + <usize>operand * STAGE
  if (way == UNIFORM) {
    if (i == begin) fill<T>(src, to, n) // no later block is longer than the first
    return to
  }
  gather<T>(src, layout, operand, i, n, to, scratch)
  return to
}

/** `n` copies of the element at `src`. */
export function fill<T>(src: usize, to: usize, n: i32): void {
  const value = v128.load_splat<T>(src)
  const lanes = <i32>(16 / sizeof<T>())
  const end = to + <usize>n * sizeof<T>()
  for (; n >= lanes; n -= lanes, to += 16) v128.store(to, value)
  for (; to < end; to += sizeof<T>()) store<T>(to, load<T>(src))
}

/** Copies `n` elements between places that differ in their strides. */
// @ts-ignore: decorator
@inline
function copyRun<T>(src: usize, fromStep: usize, to: usize, toStep: usize, n: i32): void {
  if (fromStep == sizeof<T>() && toStep == sizeof<T>()) {
    const lanes = <i32>(16 / sizeof<T>())
    for (; n >= lanes; n -= lanes, src += 16, to += 16) v128.store(to, v128.load(src))
  } else if (fromStep == 0 && toStep == sizeof<T>()) {
    return fill<T>(src, to, n)
  }
  for (; n > 0; n--, src += fromStep, to += toStep) store<T>(to, load<T>(src))
}

/**
 * Walks elements [i, i + n) of a strided operand in runs along the last axis, copying from it to `dense` or the other way.
 * Counters of the axes stand in scratch behind the operands' blocks.
 */
// @ts-ignore: decorator
@inline
function walk<T>(strided: usize, dense: usize, layout: usize, operand: i32, i: i32, n: i32, scratch: usize, scatters: bool): void {
  const counters = scratch + MAX_OPERANDS * STAGE
  const rank = load<i32>(layout)
  const sizes = layout + 16
  const strides = sizes + <usize>(rank * (1 + operand)) * 4
  const size = <usize>sizeof<T>()
  let at = strided
  for (let d = rank - 1, rest = i; d >= 0; d--) {
    const axis = <usize>d << 2
    const length = load<i32>(sizes + axis)
    const c = rest % length
    rest /= length
    store<i32>(counters + axis, c)
    at += <usize>(c * load<i32>(strides + axis)) * size
  }
  const last = <usize>(rank - 1) << 2
  const inner = load<i32>(sizes + last)
  const step = <usize>load<i32>(strides + last) * size
  let c = load<i32>(counters + last)
  while (n > 0) {
    const run = min(n, inner - c)
    if (scatters) copyRun<T>(dense, size, at, step, run)
    else copyRun<T>(at, step, dense, size, run)
    n -= run
    dense += <usize>run * size
    at -= <usize>c * step
    c = 0
    for (let d = rank - 2; d >= 0; d--) {
      const axis = <usize>d << 2
      const length = load<i32>(sizes + axis)
      const stride = <usize>load<i32>(strides + axis) * size
      const next = load<i32>(counters + axis) + 1
      at += stride
      if (next < length) {
        store<i32>(counters + axis, next)
        break
      }
      store<i32>(counters + axis, 0)
      at -= <usize>length * stride
    }
  }
}

/** Elements [i, i + n) of a strided operand, copied one after another. */
export function gather<T>(src: usize, layout: usize, operand: i32, i: i32, n: i32, to: usize, scratch: usize): void {
  if (wayOf(layout, operand) == UNIFORM) fill<T>(src, to, n)
  else walk<T>(src, to, layout, operand, i, n, scratch, false)
}

/** Elements one after another, copied to places [i, i + n) of a strided operand. */
export function scatter<T>(src: usize, to: usize, layout: usize, operand: i32, i: i32, n: i32, scratch: usize): void {
  walk<T>(to, src, layout, operand, i, n, scratch, true)
}

/** Whether an operand's elements lie one after another. */
export function isDense(layout: usize, operand: i32): bool {
  return wayOf(layout, operand) == DENSE
}
