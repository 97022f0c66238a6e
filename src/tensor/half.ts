// float16 and bfloat16 as numbers, for what leaves the heap element by element. Kernels have their own.

const f32 = new Float32Array(1)
const bits = new Uint32Array(f32.buffer)

/** The float32 value of bfloat16 bits. */
export function fromBfloat16(h: number): number {
  bits[0] = h << 16
  return f32[0]
}

/** bfloat16 bits of a number, rounded to nearest even. */
export function toBfloat16(x: number): number {
  f32[0] = x
  if (Number.isNaN(x)) return ((bits[0] >>> 16) | 0x40) & 0xffff
  return ((bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) >>> 16) & 0xffff
}

/** The value of float16 bits. */
export function fromFloat16(h: number): number {
  const sign = h & 0x8000 ? -1 : 1
  const exponent = (h >> 10) & 31
  const fraction = h & 1023
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
}

/** float16 bits of a number, rounded to nearest even; beyond the range, infinity. */
export function toFloat16(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0
  const a = Math.abs(x)
  if (Number.isNaN(x)) return 0x7e00
  if (a >= 65520) return sign | 0x7c00
  // The spacing of float16 at this magnitude; dividing by a power of two is exact.
  const exponent = Math.max(Math.floor(Math.log2(Math.fround(a) || 2 ** -30)), -14)
  const step = 2 ** (exponent - 10)
  let units = a / step
  const floor = Math.floor(units)
  const rest = units - floor
  units = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
  if (exponent === -14) return sign | units // subnormal, or just the smallest normal number
  return sign | (((exponent + 15) << 10) + (units - 1024))
}
