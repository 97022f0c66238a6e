// Reading floats of 32 or 16 bits as float32: what lets one kernel take them all.
import { widenBF16, widenF16 } from './simd'

export const F32 = 0
export const F16 = 1
export const BF16 = 2

// @ts-ignore: decorator
@inline
export function sizeOf(dtype: i32): usize {
  return dtype == F32 ? 4 : 2
}

/** One element as float32. */
// @ts-ignore: decorator
@inline
export function element(dtype: i32, ptr: usize): f32 {
  if (dtype == F32) return load<f32>(ptr)
  const h = v128.load16_splat(ptr)
  const wide = dtype == F16 ? widenF16(i32x4.extend_low_i16x8_u(h)) : widenBF16(i32x4.extend_low_i16x8_u(h))
  return f32x4.extract_lane(wide, 0)
}

/** Four consecutive elements as float32. */
// @ts-ignore: decorator
@inline
export function load4(dtype: i32, ptr: usize): v128 {
  if (dtype == F32) return v128.load(ptr)
  const h = v128.load16x4_u(ptr)
  return dtype == F16 ? widenF16(h) : widenBF16(h)
}
