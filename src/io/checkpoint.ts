// What every weight file gives: named tensors that lie somewhere in a source, not yet read.
import type { ByteSource } from './source.ts'

/** A tensor as it lies in a file. */
export interface StoredTensor {
  readonly name: string
  /** The file's name of the type of its elements or blocks: `F32`, `BF16`, `I64`, `Q4_1` … */
  readonly type: string
  /** Row-major, the last dimension contiguous. */
  readonly shape: readonly number[]
  readonly source: ByteSource
  /** Position of its first byte in the source, and their number. */
  readonly offset: number
  readonly bytes: number
  readonly converted?: Conversion
}

/** What a converter did to a weight, to be taken back while it is read. */
export interface Conversion {
  /** For each row of the weight, its row in the file, where they were put in another order. */
  readonly rows?: (row: number) => number
  /** Turns the file's values (float32) into the weight's, in place. */
  readonly restore?: (values: Float32Array) => void
  /** The file has as [out, in] a matrix that the architecture's own files have as [in, out]. */
  readonly transposed?: boolean
}

/** The tensors of one model, in one file or several. */
export interface Checkpoint {
  /** What errors call it. */
  readonly name: string
  /** By name, in the order in which they lie in the files. */
  readonly tensors: ReadonlyMap<string, StoredTensor>
  close(): Promise<void>
}

/** Product of a shape's sizes, or undefined where it is beyond 2^53: no file is that long. */
export function elementsOf(shape: readonly number[]): number | undefined {
  let n = 1
  for (const size of shape) {
    n *= size
    if (!Number.isSafeInteger(n)) return undefined
  }
  return n
}

/** Whether it is a number of things: whole, not negative, exact. */
export function isCount(x: unknown): x is number {
  return Number.isSafeInteger(x) && (x as number) >= 0
}
