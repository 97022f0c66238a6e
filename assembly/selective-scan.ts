// Selective scan (Gu and Dao 2023): a state of N numbers for each channel, which decays and takes in by what each token says.
import { exp } from './elementary'
import { fma, hsum } from './simd'

/**
 * Tokens `first` to `last` of T: h = h exp(dt a) + dt x b, out = Σ h c, for x, dt and out [B,T,I], a [I,N], b and c [B,T,N],
 * all contiguous. `state` [B,I,N] holds h before and after. Parallel axis: B × I.
 */
export function selective_scan_f32(
  x: usize,
  dt: usize,
  a: usize,
  b: usize,
  c: usize,
  state: usize,
  out: usize,
  T: i32,
  I: i32,
  N: i32,
  first: i32,
  last: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  const width = (<usize>N) << 2
  const vectors = width & ~15
  for (let t = first; t < last; t++) {
    for (let unit = begin; unit < end; unit++) {
      const i = <usize>(unit % I)
      const token = <usize>(unit / I) * T + t
      const at = (token * I + i) << 2
      const step = f32x4.splat(load<f32>(dt + at))
      const taken = f32x4.splat(load<f32>(dt + at) * load<f32>(x + at))
      const h = state + <usize>unit * width
      const an = a + i * width
      const bn = b + token * width
      const cn = c + token * width
      let sum = f32x4.splat(0)
      let n: usize = 0
      for (; n < vectors; n += 16) {
        const decay = exp(v128.mul<f32>(step, v128.load(an + n)))
        const next = fma(taken, v128.load(bn + n), v128.mul<f32>(v128.load(h + n), decay))
        v128.store(h + n, next)
        sum = fma(next, v128.load(cn + n), sum)
      }
      for (; n < width; n += 4) {
        const decay = exp(v128.mul<f32>(step, v128.load32_zero(an + n)))
        const next = fma(taken, v128.load32_zero(bn + n), v128.mul<f32>(v128.load32_zero(h + n), decay))
        v128.store_lane<f32>(h + n, next, 0)
        sum = fma(next, v128.load32_zero(cn + n), sum)
      }
      store<f32>(out + at, hsum(sum))
    }
  }
}
