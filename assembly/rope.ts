// Rotary positions (Su et al. 2021): pairs of dimensions turned by an angle; backward is the turn back.
import { fma } from './simd'

/**
 * x [B,T,H,D] by strides (in elements, dimensions contiguous) to out [B,T,H,D] contiguous. cos and sin are rows of `pairs`
 * numbers, by strides over B and T. Pairs are (i, i + pairs), or (2i, 2i + 1) when interleaved; dimensions from 2 × pairs on are
 * copied. `sign` is -1 for the gradient. Parallel axis: B × T.
 */
export function rotary_f32(
  x: usize,
  cos: usize,
  sin: usize,
  out: usize,
  T: i32,
  H: i32,
  D: i32,
  pairs: i32,
  interleaved: i32,
  sign: f32,
  xb: i32,
  xt: i32,
  xh: i32,
  cb: i32,
  ct: i32,
  sb: i32,
  st: i32,
  scratch: usize,
  begin: i32,
  end: i32,
): void {
  const turn = f32x4.splat(sign)
  const width = (<usize>pairs) << 2
  const vectors = width & ~15
  const rest = (<usize>(D - 2 * pairs)) << 2
  for (let unit = begin; unit < end; unit++) {
    const b = <usize>(unit / T)
    const t = <usize>(unit % T)
    const c = cos + ((b * cb + t * ct) << 2)
    const s = sin + ((b * sb + t * st) << 2)
    for (let h: usize = 0; h < <usize>H; h++) {
      const from = x + ((b * xb + t * xt + h * xh) << 2)
      const to = out + (((<usize>unit * H + h) * D) << 2)
      let i: usize = 0
      if (interleaved) {
        for (; i < vectors; i += 16) {
          const x0 = v128.load(from + 2 * i)
          const x1 = v128.load(from + 2 * i, 16)
          const even = v128.shuffle<f32>(x0, x1, 0, 2, 4, 6)
          const odd = v128.shuffle<f32>(x0, x1, 1, 3, 5, 7)
          const cosine = v128.load(c + i)
          const sine = v128.mul<f32>(v128.load(s + i), turn)
          const y0 = v128.sub<f32>(v128.mul<f32>(even, cosine), v128.mul<f32>(odd, sine))
          const y1 = fma(odd, cosine, v128.mul<f32>(even, sine))
          v128.store(to + 2 * i, v128.shuffle<f32>(y0, y1, 0, 4, 1, 5))
          v128.store(to + 2 * i, v128.shuffle<f32>(y0, y1, 2, 6, 3, 7), 16)
        }
        for (; i < width; i += 4)
          pair(from + 2 * i, from + 2 * i + 4, to + 2 * i, to + 2 * i + 4, load<f32>(c + i), load<f32>(s + i) * sign)
      } else {
        for (; i < vectors; i += 16) {
          const a = v128.load(from + i)
          const e = v128.load(from + width + i)
          const cosine = v128.load(c + i)
          const sine = v128.mul<f32>(v128.load(s + i), turn)
          v128.store(to + i, v128.sub<f32>(v128.mul<f32>(a, cosine), v128.mul<f32>(e, sine)))
          v128.store(to + width + i, fma(e, cosine, v128.mul<f32>(a, sine)))
        }
        for (; i < width; i += 4)
          pair(from + i, from + width + i, to + i, to + width + i, load<f32>(c + i), load<f32>(s + i) * sign)
      }
      if (rest) memory.copy(to + 2 * width, from + 2 * width, rest)
    }
  }
}

// @ts-ignore: decorator
@inline
function pair(x0: usize, x1: usize, y0: usize, y1: usize, cosine: f32, sine: f32): void {
  const a = load<f32>(x0)
  const b = load<f32>(x1)
  store<f32>(y0, a * cosine - b * sine)
  store<f32>(y1, b * cosine + a * sine)
}
