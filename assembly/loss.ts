// Cross-entropy of logits with class indices, fused: a row of probabilities is never stored.
import { expFlushed } from './elementary'
import { logOf, rowExpSum, rowMax } from './rows'

// @ts-ignore: decorator
@inline
function weightOf(weight: usize, c: i64): f32 {
  return weight ? load<f32>(weight + ((<usize>c) << 2)) : 1
}

/**
 * Rows of C logits with targets of int64 (all below C, or `ignore`). Of each row: loss, logarithm of the sum of exponentials, and
 * the weight of its target (0 where ignored). With smoothing s the loss is (1 - s) w[y] (lse - x[y]) + s/C Σ w[c] (lse - x[c]).
 * weight [C] may be 0. Parallel axis: rows.
 */
export function cross_entropy_f32(
  x: usize,
  target: usize,
  weight: usize,
  loss: usize,
  lse: usize,
  share: usize,
  C: i32,
  ignore: f64,
  smoothing: f32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  for (let r = <usize>begin; r < <usize>end; r++) {
    const row = x + r * ((<usize>C) << 2)
    const y = load<i64>(target + (r << 3))
    const most = rowMax(row, C)
    const logSum = most + logOf(rowExpSum(row, 0, C, most))
    store<f32>(lse + (r << 2), logSum)
    if (y === <i64>ignore) {
      store<f32>(loss + (r << 2), 0)
      store<f32>(share + (r << 2), 0)
      continue
    }
    const w = weightOf(weight, y)
    let value: f32 = (<f32>1 - smoothing) * w * (logSum - load<f32>(row + ((<usize>y) << 2)))
    if (smoothing !== 0) {
      let total: f64 = 0
      for (let c = 0; c < C; c++) total += <f64>weightOf(weight, c) * (logSum - load<f32>(row + ((<usize>c) << 2)))
      value += <f32>((smoothing * total) / <f64>C)
    }
    store<f32>(loss + (r << 2), value)
    store<f32>(share + (r << 2), w)
  }
}

/**
 * Gradient of the logits. Row r's loss has the gradient g[r × stride] × scale; `total` is the sum of the weights (C without any).
 * dx = g (p (1 - s) w[y] + p s/C Σw - [c = y] (1 - s) w[y] - s/C w[c]). Parallel axis: rows.
 */
export function cross_entropy_backward_f32(
  g: usize,
  stride: i32,
  scale: f32,
  x: usize,
  target: usize,
  weight: usize,
  lse: usize,
  dx: usize,
  C: i32,
  ignore: f64,
  smoothing: f32,
  total: f32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  const bytes = (<usize>C) << 2
  for (let r = <usize>begin; r < <usize>end; r++) {
    const row = x + r * bytes
    const to = dx + r * bytes
    const y = load<i64>(target + (r << 3))
    if (y === <i64>ignore) {
      memory.fill(to, 0, bytes)
      continue
    }
    const grad = load<f32>(g + ((r * stride) << 2)) * scale
    const hard = grad * (<f32>1 - smoothing) * weightOf(weight, y)
    const soft = (grad * smoothing) / <f32>C
    const base = v128.load32_splat(lse + (r << 2))
    const p = f32x4.splat(hard + soft * total)
    let i: usize = 0
    for (; i + 32 <= bytes; i += 32) {
      const a = expFlushed(v128.sub<f32>(v128.load(row + i), base))
      const b = expFlushed(v128.sub<f32>(v128.load(row + i, 16), base))
      v128.store(to + i, v128.mul<f32>(a, p))
      v128.store(to + i, v128.mul<f32>(b, p), 16)
    }
    for (; i < bytes; i += 4)
      v128.store_lane<f32>(to + i, v128.mul<f32>(expFlushed(v128.sub<f32>(v128.load32_zero(row + i), base)), p), 0)
    if (smoothing !== 0)
      for (i = 0; i < bytes; i += 4) store<f32>(to + i, load<f32>(to + i) - soft * (weight ? load<f32>(weight + i) : 1))
    const at = to + ((<usize>y) << 2)
    store<f32>(at, load<f32>(at) - hard)
  }
}
