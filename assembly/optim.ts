// One step of an optimizer over flat buffers, as PyTorch's single-tensor formulas; parallel over elements.
import { fma } from './simd'

/** Four elements, or (at the end of a chunk) one in the first lane: the same arithmetic, so that chunk bounds change nothing. */
// @ts-ignore: decorator
@inline
function get(at: usize, whole: bool): v128 {
  return whole ? v128.load(at) : v128.load32_zero(at)
}

// @ts-ignore: decorator
@inline
function put(at: usize, value: v128, whole: bool): void {
  if (whole) v128.store(at, value)
  else v128.store32_lane(at, value, 0)
}

// @ts-ignore: decorator
@inline
function adam(
  p: usize, grad: usize, m: usize, v: usize, top: usize, decay: f32, l2: f32, sign: f32, b1: f32, b2: f32, c2: f32,
  stepSize: f32, correction: f32, eps: f32, at: usize, whole: bool,
): void {
  const before = get(p + at, whole)
  const g = fma(f32x4.splat(l2), before, f32x4.mul(get(grad + at, whole), f32x4.splat(sign)))
  const m0 = get(m + at, whole)
  const m1 = fma(f32x4.sub(g, m0), f32x4.splat(b1), m0)
  const v1 = fma(f32x4.mul(g, g), f32x4.splat(c2), f32x4.mul(get(v + at, whole), f32x4.splat(b2)))
  put(m + at, m1, whole)
  put(v + at, v1, whole)
  let second = v1
  if (top) {
    second = f32x4.max(get(top + at, whole), v1)
    put(top + at, second, whole)
  }
  const denominator = f32x4.add(f32x4.div(f32x4.sqrt(second), f32x4.splat(correction)), f32x4.splat(eps))
  const change = f32x4.mul(f32x4.splat(stepSize), f32x4.div(m1, denominator))
  put(p + at, f32x4.sub(f32x4.mul(before, f32x4.splat(decay)), change), whole)
}

/**
 * Adam and AdamW. `decay` multiplies the parameter first (1 - lr × weight_decay for AdamW, 1 for Adam), `l2` adds to the gradient (Adam's
 * weight_decay), `sign` is -1 to maximize; stepSize = lr / (1 - β1^t), correction = √(1 - β2^t). `top` (0 for none) holds amsgrad's maxima.
 */
export function adam_f32(
  p: usize, grad: usize, m: usize, v: usize, top: usize, decay: f32, l2: f32, sign: f32, beta1: f64, beta2: f64,
  stepSize: f32, correction: f32, eps: f32, scratch: usize, begin: i32, end: i32,
): void {
  const b1 = <f32>(1 - beta1)
  const b2 = <f32>beta2
  const c2 = <f32>(1 - beta2)
  let at = (<usize>begin) << 2
  const stop = (<usize>end) << 2
  for (const whole = at + ((stop - at) & ~15); at < whole; at += 16)
    adam(p, grad, m, v, top, decay, l2, sign, b1, b2, c2, stepSize, correction, eps, at, true)
  for (; at < stop; at += 4) adam(p, grad, m, v, top, decay, l2, sign, b1, b2, c2, stepSize, correction, eps, at, false)
}

// @ts-ignore: decorator
@inline
function sgd(
  p: usize, grad: usize, buffer: usize, lr: f32, momentum: f32, taken: f32, l2: f32, sign: f32, nesterov: i32,
  first: i32, at: usize, whole: bool,
): void {
  const before = get(p + at, whole)
  let g = fma(f32x4.splat(l2), before, f32x4.mul(get(grad + at, whole), f32x4.splat(sign)))
  if (buffer) {
    const held = first ? g : fma(g, f32x4.splat(taken), f32x4.mul(get(buffer + at, whole), f32x4.splat(momentum)))
    put(buffer + at, held, whole)
    g = nesterov ? fma(held, f32x4.splat(momentum), g) : held
  }
  put(p + at, fma(g, f32x4.splat(-lr), before), whole)
}

/** SGD: `buffer` is the momentum's (0 for none), `first` 1 when it takes the gradient as it is, `sign` -1 to maximize. */
export function sgd_f32(
  p: usize, grad: usize, buffer: usize, lr: f32, momentum: f32, dampening: f32, l2: f32, sign: f32, nesterov: i32,
  first: i32, scratch: usize, begin: i32, end: i32,
): void {
  const taken: f32 = 1 - dampening
  let at = (<usize>begin) << 2
  const stop = (<usize>end) << 2
  for (const whole = at + ((stop - at) & ~15); at < whole; at += 16)
    sgd(p, grad, buffer, lr, momentum, taken, l2, sign, nesterov, first, at, true)
  for (; at < stop; at += 4) sgd(p, grad, buffer, lr, momentum, taken, l2, sign, nesterov, first, at, false)
}
