// The block formats of quantized weights (GGUF Q4_0, Q4_1, Q8_0) as the kernels hold them.
//
// A file's block is 32 weights of a row: a float16 scale (Q4_1: then a float16 minimum), then the codes, taken here as 32-bit
// words: 4 of them hold 4-bit codes (word s: elements 4s … 4s+3 in the low nibbles, 16+4s … 19+4s in the high ones), 8 hold
// bytes. Repacking takes rows by fours and puts the same piece of four blocks side by side:
//
//   file       row 0: d w0 w1 w2 w3 | row 1: d w0 w1 w2 w3 | row 2: … | row 3: …
//   repacked   d d d d   w0 w0 w0 w0   w1 w1 w1 w1   w2 w2 w2 w2   w3 w3 w3 w3
//
// so a product loads the scales of four rows at once, and one 32-bit splat of activations meets four rows. The size is the
// same, with rows rounded up to a multiple of four.

export const Q4_0: i32 = 0
export const Q4_1: i32 = 1
export const Q8_0: i32 = 2

/** Weights of a block. */
export const BLOCK: i32 = 32

/** Float16 numbers at the head of a block. */
// @ts-ignore: decorator
@inline
export function headOf(format: i32): i32 {
  return format == Q4_1 ? 2 : 1
}

/** 32-bit words of codes in a block. */
// @ts-ignore: decorator
@inline
export function wordsOf(format: i32): i32 {
  return format == Q8_0 ? 8 : 4
}

/** Bytes of a row's block. Four times that is what four rows take, repacked. */
// @ts-ignore: decorator
@inline
export function bytesOf(format: i32): usize {
  return <usize>(2 * headOf(format) + 4 * wordsOf(format))
}
