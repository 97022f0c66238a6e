// Nd: the arrays of the f64 references. Slow and plain on purpose: what the kernels are compared with.
import type { DType } from '../tensor/dtype.ts'
import { broadcastShapes, broadcastStrides, contiguousStrides, numelOf, type Shape } from '../tensor/shape.ts'

/** A row-major array of float64 that says which dtype it stands for. */
export class Nd {
  constructor(
    readonly shape: Shape,
    readonly data: Float64Array,
    readonly dtype: DType = 'float32',
  ) {}

  static of(shape: Shape, value: (i: number) => number, dtype: DType = 'float32'): Nd {
    return new Nd(
      shape,
      Float64Array.from({ length: numelOf(shape) }, (_, i) => value(i)),
      dtype,
    )
  }

  /** Element-wise; the dtype stays unless given. */
  map(fn: (x: number, i: number) => number, dtype: DType = this.dtype): Nd {
    return new Nd(this.shape, this.data.map(fn), dtype)
  }

  /** Element-wise with broadcasting. */
  zip(other: Nd | number, fn: (x: number, y: number) => number, dtype: DType = this.dtype): Nd {
    if (typeof other === 'number') return this.map((x) => fn(x, other), dtype)
    const shape = broadcastShapes('zip', this.shape, other.shape)
    const a = this.expand(shape)
    const b = other.expand(shape)
    return Nd.of(shape, (i) => fn(a.data[i], b.data[i]), dtype)
  }

  /** Seen at a broadcast shape, copied. */
  expand(shape: Shape): Nd {
    const strides = broadcastStrides(this.shape, contiguousStrides(this.shape), shape)
    return this.strided(shape, strides, 0)
  }

  /** Elements picked by strides, copied. */
  strided(shape: Shape, strides: Shape, offset: number): Nd {
    const out = new Float64Array(numelOf(shape))
    const index = new Array<number>(shape.length).fill(0)
    for (let i = 0; i < out.length; i++) {
      let at = offset
      for (let d = 0; d < shape.length; d++) at += index[d] * strides[d]
      out[i] = this.data[at]
      for (let d = shape.length - 1; d >= 0; d--) {
        if (++index[d] < shape[d]) break
        index[d] = 0
      }
    }
    return new Nd(shape, out, this.dtype)
  }

  reshape(shape: Shape): Nd {
    return new Nd(shape, this.data, this.dtype)
  }

  /** Dimensions in another order. */
  permute(dims: number[]): Nd {
    const strides = contiguousStrides(this.shape)
    return this.strided(
      dims.map((d) => this.shape[d]),
      dims.map((d) => strides[d]),
      0,
    )
  }

  /** Each row along `dim` (counted from 0) replaced by `fn(row)`, whose length may differ. */
  rows(dim: number, fn: (row: Float64Array) => ArrayLike<number>, dtype: DType = this.dtype): Nd {
    const n = this.shape[dim]
    const inner = numelOf(this.shape.slice(dim + 1))
    const outer = numelOf(this.shape.slice(0, dim))
    let out: Float64Array | undefined
    let m = 0
    for (let o = 0; o < outer; o++)
      for (let i = 0; i < inner; i++) {
        const row = Float64Array.from({ length: n }, (_, k) => this.data[(o * n + k) * inner + i])
        const result = fn(row)
        m = result.length
        out ??= new Float64Array(outer * m * inner)
        for (let k = 0; k < m; k++) out[(o * m + k) * inner + i] = result[k]
      }
    if (!out) m = fn(new Float64Array(n)).length // no rows: the length that they would have
    const shape = [...this.shape.slice(0, dim), m, ...this.shape.slice(dim + 1)]
    return new Nd(shape, out ?? new Float64Array(numelOf(shape)), dtype)
  }

  at(...index: number[]): number {
    const strides = contiguousStrides(this.shape)
    return this.data[index.reduce((sum, x, d) => sum + x * strides[d], 0)]
  }
}

/** Seeded numbers for samples: the same on every machine. */
export class Sampler {
  constructor(private state = 0x2545f491) {}

  /** Uniform in [0, 1). */
  next(): number {
    // xorshift32
    this.state ^= this.state << 13
    this.state ^= this.state >>> 17
    this.state ^= this.state << 5
    return (this.state >>> 0) / 2 ** 32
  }

  /** Roughly normal, already rounded to float32. */
  randn(...shape: number[]): Nd {
    return Nd.of(shape, () => Math.fround(this.normal()))
  }

  /** Uniform in [low, high), rounded to float32. */
  uniform(low: number, high: number, ...shape: number[]): Nd {
    return Nd.of(shape, () => Math.fround(low + (high - low) * this.next()))
  }

  /** Whole numbers in [low, high). */
  randint(low: number, high: number, shape: number[], dtype: DType = 'int64'): Nd {
    return Nd.of(shape, () => low + Math.floor((high - low) * this.next()), dtype)
  }

  /** Truth values. */
  mask(...shape: number[]): Nd {
    return Nd.of(shape, () => (this.next() < 0.5 ? 0 : 1), 'bool')
  }

  private normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next())
  }
}
