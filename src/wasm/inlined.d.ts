// What build.mjs inlines into the bundle.
declare module 'rushlight:simd' {
  /** The plain SIMD binary: base64 of raw deflate. */
  const packed: string
  export default packed
}
declare module 'rushlight:relaxed' {
  /** The relaxed SIMD binary: base64 of raw deflate. */
  const packed: string
  export default packed
}
declare module 'rushlight:worker' {
  /** Source of the pool's worker, a classic script. */
  const source: string
  export default source
}
