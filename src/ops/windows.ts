// Windows over planes, as convolution and pooling use them: sizes read from torch's arguments and checked, and the form that
// kernels take (assembly/window.ts). One dimension is two with a height of 1.
import { type Shape, show } from '../tensor/shape.ts'
import { RushlightError, ShapeError } from '../util/errors.ts'
import { i32View, withTemp } from '../wasm/index.ts'

/** One number for all dimensions, or one for each. */
export type Sizes = number | readonly number[]

/** Windows along each dimension: where the k-th tap of the o-th window looks is o × stride + k × dilation - padding. */
export interface Windows {
  size: number[]
  kernel: number[]
  stride: number[]
  /** Before the first element; how much follows the last is said by `out`. */
  padding: number[]
  dilation: number[]
  out: number[]
}

/** One number for each of `rank` dimensions. @throws RushlightError naming op and argument */
export function sizesOf(op: string, name: string, given: Sizes, rank: number, least: number): number[] {
  const list =
    typeof given === 'number'
      ? new Array<number>(rank).fill(given)
      : given.length === 1
        ? new Array<number>(rank).fill(given[0])
        : [...given]
  if (list.length !== rank || list.some((x) => !Number.isInteger(x) || x < least))
    throw new RushlightError(
      `${op}: ${name} must be ${rank === 1 ? 'a whole number' : `one or ${rank} whole numbers`} from ${least} up, found ${JSON.stringify(given)}`,
    )
  return list
}

/** Checks an input of `rank` spatial dimensions, with channels and perhaps a batch before them. @throws ShapeError */
export function checkPlanes(op: string, shape: Shape, rank: number): void {
  const names = rank === 1 ? '(N,C,L) or (C,L)' : '(N,C,H,W) or (C,H,W)'
  if (shape.length !== rank + 1 && shape.length !== rank + 2)
    throw new ShapeError(`${op}: expected an input ${names}, found shape ${show(shape)}`)
}

/** @throws ShapeError when a window does not fit */
export function checkOut(op: string, shape: Shape, { kernel, out }: Windows): void {
  if (out.some((n) => n < 1))
    throw new ShapeError(
      `${op}: windows of ${show(kernel)} do not fit an input of shape ${show(shape)}: the result would have size ${show(out)}`,
    )
}

/** Hands the windows to `fn` as a kernel takes them. */
export function withWindows<R>({ size, kernel, stride, padding, dilation, out }: Windows, fn: (ptr: number) => R): R {
  const two = (list: number[], lead: number) => (list.length === 1 ? [lead, list[0]] : list)
  const words = [two(size, 1), two(kernel, 1), two(stride, 1), two(padding, 0), two(dilation, 1), two(out, 1)].flat()
  return withTemp(4 * words.length, (ptr) => {
    i32View(ptr, words.length).set(words)
    return fn(ptr)
  })
}

/** For references: visits every tap inside the plane, with the places of window and element in their planes. */
export function eachTap(
  { size, kernel, stride, padding, dilation, out }: Windows,
  visit: (window: number, element: number, tap: number) => void,
): void {
  const walk = (d: number, window: number, element: number, tap: number) => {
    if (d === size.length) return visit(window, element, tap)
    for (let o = 0; o < out[d]; o++)
      for (let k = 0; k < kernel[d]; k++) {
        const at = o * stride[d] + k * dilation[d] - padding[d]
        if (at >= 0 && at < size[d]) walk(d + 1, window * out[d] + o, element * size[d] + at, tap * kernel[d] + k)
      }
  }
  walk(0, 0, 0, 0)
}
