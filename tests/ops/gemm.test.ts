// gemm on raw memory: every layout, dtype and edge. Operands are small whole numbers, so that float32 gives exactly what the
// reference gives; what lies between their elements is NaN, and what lies around C must stay as it was.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { gemm, type MatrixView } from '../../src/ops/gemm.ts'
import { fromFloat16 } from '../../src/tensor/half.ts'
import { Sampler } from '../../src/ops/reference.ts'
import { DTYPES, type DType } from '../../src/tensor/dtype.ts'
import { alloc, f32View, free, heapUsage, init, u16View } from '../../src/wasm/index.ts'

type Layout = 'rows' | 'columns' | 'loose'
type Kind = 'float32' | 'float16' | 'bfloat16'

/** Where element (row, column) of a batch lies, with gaps between rows (or columns) and between batches. */
function strides(layout: Layout, rows: number, cols: number): { rows: number; cols: number; batch: number } {
  if (layout === 'rows') return { rows: cols + 3, cols: 1, batch: rows * (cols + 3) + 5 }
  if (layout === 'columns') return { rows: 1, cols: rows + 2, batch: cols * (rows + 2) + 7 }
  return { rows: 2 * cols + 1, cols: 2, batch: rows * (2 * cols + 1) + 4 }
}

/** Bits of a float32 in another floating dtype, which must hold it exactly. */
function bitsOf(value: number, dtype: Kind): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]
  if (dtype === 'bfloat16') return bits >>> 16
  if (Number.isNaN(value)) return 0x7e00
  if (!Number.isFinite(value)) return ((bits >>> 16) & 0x8000) | 0x7c00
  if (value === 0) return 0
  return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 255) - 112) << 10) | ((bits >>> 13) & 0x3ff)
}

let live: number[] = []
function take(elements: number, dtype: DType): number {
  const ptr = alloc(Math.max(1, elements) * DTYPES[dtype].bytes)
  live.push(ptr)
  return ptr
}

/** `count` matrices on the heap, NaN wherever there is no element; a stride of 0 between batches for a single one. */
function place(values: Float64Array[], rows: number, cols: number, layout: Layout, dtype: Kind): MatrixView {
  const at = strides(layout, rows, cols)
  const size = at.batch * values.length
  const ptr = take(size, dtype)
  const encode = (x: number) => (dtype === 'float32' ? x : bitsOf(x, dtype))
  const view = dtype === 'float32' ? f32View(ptr, size) : u16View(ptr, size)
  view.fill(encode(Number.NaN))
  values.forEach((matrix, b) => {
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < cols; j++) view[b * at.batch + i * at.rows + j * at.cols] = encode(matrix[i * cols + j])
  })
  return { ptr, dtype, rows: at.rows, cols: at.cols, batch: values.length === 1 ? 0 : at.batch }
}

/** A test whose memory is given back however it ends. */
function check(name: string, fn: () => void): void {
  test(name, () => {
    try {
      fn()
    } finally {
      release()
    }
    assert.is(heapUsage().used, 0, 'bytes left behind')
  })
}

function release(): void {
  for (const ptr of live) free(ptr)
  live = []
}

const GUARD = -12345

interface Case {
  m: number
  n: number
  k: number
  batch: number
  a: Float64Array[]
  b: Float64Array[]
  products: Float64Array[]
}

function multiply(a: Float64Array, b: Float64Array, m: number, n: number, k: number): Float64Array {
  const out = new Float64Array(m * n)
  for (let i = 0; i < m; i++)
    for (let p = 0; p < k; p++) {
      const x = a[i * k + p]
      for (let j = 0; j < n; j++) out[i * n + j] += x * b[p * n + j]
    }
  return out
}

/** Whole numbers from -3 to 3; `aCount` or `bCount` is 1 where all batches share an operand. */
function makeCase(m: number, n: number, k: number, batch = 1, aCount = batch, bCount = batch): Case {
  const s = new Sampler(m * 7 + n * 3 + k)
  const whole = (count: number, size: number) =>
    Array.from({ length: count }, () => Float64Array.from({ length: size }, () => Math.floor(s.next() * 7) - 3))
  const [a, b] = [whole(aCount, m * k), whole(bCount, k * n)]
  const products = Array.from({ length: batch }, (_, i) => multiply(a[i % aCount], b[i % bCount], m, n, k))
  return { m, n, k, batch, a, b, products }
}

function run(c: Case, layoutA: Layout, layoutB: Layout, dtype: Kind, accumulate: boolean, biased: boolean): void {
  const { m, n, k, batch, products } = c
  const what = `${batch} of ${m}x${k} (${layoutA}) by ${k}x${n} (${layoutB}, ${dtype})${accumulate ? ', accumulate' : ''}${biased ? ', bias' : ''}`
  const ld = n + 3
  const distance = m * ld + 6
  const size = batch * distance + 16
  const start = take(size, 'float32')
  const bias = biased ? take(n, 'float32') : 0
  const a = place(c.a, m, k, layoutA, 'float32')
  const b = place(c.b, k, n, layoutB, dtype)
  f32View(start, size).fill(GUARD)
  const inside = new Uint8Array(size)
  for (let q = 0; q < batch; q++)
    for (let i = 0; i < m; i++) {
      const row = 8 + q * distance + i * ld
      inside.fill(1, row, row + n)
      if (accumulate) f32View(start, size).fill(i - 5, row, row + n)
    }
  if (biased) f32View(bias, n).forEach((_, j, view) => (view[j] = (j % 11) - 4))
  gemm({ m, n, k, batch, a, b, c: { ptr: start + 32, ld, batch: distance }, bias, accumulate })
  const result = f32View(start, size)
  for (let at = 0; at < size; at++)
    if (!inside[at] && result[at] !== GUARD) assert.unreachable(`${what}: element ${at - 8} outside of C was written`)
  for (let q = 0; q < batch; q++)
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        const found = result[8 + q * distance + i * ld + j]
        const expected = products[q][i * n + j] + (biased ? (j % 11) - 4 : 0) + (accumulate ? i - 5 : 0)
        if (found !== expected && !(Number.isNaN(found) && Number.isNaN(expected)))
          assert.unreachable(`${what}: element (${i}, ${j}) of ${q} is ${found}, expected ${expected}`)
      }
  release()
}

const layouts: Layout[] = ['rows', 'columns', 'loose']
const sizes = [0, 1, 3, 5, 7, 9, 17, 31, 33, 63, 65, 127]
const cases: Case[] = [
  // Each size beside three others, in each place.
  ...sizes.flatMap((x, i) => {
    const [y, z] = [sizes[(i + 4) % sizes.length], sizes[(i + 9) % sizes.length]]
    return [makeCase(x, y, z), makeCase(y, z, x), makeCase(z, x, y)]
  }),
  ...[1, 2, 4, 5, 6, 7, 12, 16, 18].map((m) => makeCase(m, 21, 130)), // rows: a gemv, dot products, panels of 5 and 6
  ...[1, 2, 3, 4, 8, 15, 16, 24].map((n) => makeCase(11, n, 37)), // columns: groups of 4, panels of 8, groups of 16
  ...[383, 384, 385, 1153].map((k) => makeCase(19, 26, k)), // depths around whole blocks
  makeCase(257, 129, 66), // several tiles
  ...[1, 3, 20].flatMap((m) => [makeCase(m, 13, 9, 3), makeCase(m, 13, 9, 3, 1), makeCase(m, 13, 9, 3, 3, 1)]), // batches
]

const forms = [
  { name: 'relaxed, 1 thread', wasm: 'relaxed', threads: 1 },
  { name: 'relaxed, 2 threads, tiny chunks', wasm: 'relaxed', threads: 2, divisor: 64 },
  { name: 'relaxed, heap at 3 GiB', wasm: 'relaxed', threads: 1, base: 3 * 2 ** 30 },
  { name: 'simd, 1 thread', wasm: 'simd', threads: 1 },
  { name: 'simd, 2 threads, tiny chunks', wasm: 'simd', threads: 2, divisor: 64 },
] as const

const bits = new Map<string, string>()

for (const form of forms) {
  test(`${form.name}: starts`, async () => {
    process.env.RUSHLIGHT_HEAP_BASE = 'base' in form ? String(form.base) : ''
    process.env.RUSHLIGHT_GRAIN_DIVISOR = 'divisor' in form ? String(form.divisor) : ''
    await init({ wasm: form.wasm, threads: form.threads })
  })

  check(`${form.name}: exact for whole numbers, in every layout and dtype, and nothing else is touched`, () => {
    let turn = 0
    for (const c of cases)
      for (const layoutB of layouts) {
        // Accumulating and adding a bias take turns, so that each meets each layout.
        for (const layoutA of layouts) run(c, layoutA, layoutB, 'float32', (turn & 1) > 0, (turn++ & 2) > 0)
        for (const dtype of ['float16', 'bfloat16'] as const)
          run(c, 'rows', layoutB, dtype, (turn & 1) > 0, (turn++ & 2) > 0)
      }
  })

  check(`${form.name}: NaN and infinity reach their row and column, and no other`, () => {
    for (const [m, n, k] of [
      [1, 9, 12],
      [5, 9, 12],
      [23, 19, 400],
    ]) {
      const c = makeCase(m, n, k)
      c.a[0][(m - 1) * k + 2] = Number.POSITIVE_INFINITY
      c.b[0][3 * n + n - 1] = Number.NaN
      c.products[0] = multiply(c.a[0], c.b[0], m, n, k)
      for (const layoutA of layouts)
        for (const layoutB of layouts)
          for (const dtype of ['float32', 'float16', 'bfloat16'] as const) run(c, layoutA, layoutB, dtype, false, false)
    }
  })

  check(`${form.name}: every float16 there is, by numbers large and small`, () => {
    const [n, k] = [1 << 13, 8]
    const w = take(n * k, 'float16')
    u16View(w, n * k).forEach((_, i, view) => (view[i] = i))
    const [x, out] = [take(k, 'float32'), take(n, 'float32')]
    const view = (ptr: number, rows: number): MatrixView => ({ ptr, dtype: 'float32', rows, cols: 1, batch: 0 })
    for (const scale of [1, -3e9, 1e-30])
      for (let place = 0; place < k; place++) {
        f32View(x, k).fill(0)[place] = scale
        const b: MatrixView = { ptr: w, dtype: 'float16', rows: 1, cols: k, batch: 0 }
        gemm({ m: 1, n, k, batch: 1, a: view(x, k), b, c: { ptr: out, ld: n, batch: 0 } })
        f32View(out, n).forEach((found, row) => {
          const values = Array.from({ length: k }, (_, i) => fromFloat16(row * k + i))
          const special = values.some((value) => !Number.isFinite(value)) // 0 times infinity is NaN
          const expected = special ? Number.NaN : values[place] * Math.fround(scale)
          const near = Math.abs(found - expected) <= 1e-6 * Math.abs(expected) + 1e-37
          if (!(special ? !Number.isFinite(found) : near))
            assert.unreachable(`${values[place]} times ${scale}: ${found}, expected ${expected}`)
        })
      }
  })

  check(`${form.name}: the same bits for any number of threads`, () => {
    for (const [m, n, k] of [
      [1, 300, 700],
      [9, 300, 700],
      [130, 141, 800],
    ]) {
      const s = new Sampler(5)
      const [x, y] = [s.randn(m, k).data, s.randn(k, n).data]
      const a = place([x], m, k, 'rows', 'float32')
      for (const layout of layouts) {
        const b = place([y], k, n, layout, 'float32')
        const c = take(m * n, 'float32')
        gemm({ m, n, k, batch: 1, a, b, c: { ptr: c, ld: n, batch: 0 } })
        const found = f32View(c, m * n).slice()
        multiply(x, y, m, n, k).forEach((value, i) => {
          if (!(Math.abs(found[i] - value) <= 1e-4))
            assert.unreachable(`${m}x${n}x${k}: ${found[i]}, expected ${value}`)
        })
        const key = `${form.wasm} ${m} ${layout}`
        const text = Buffer.from(found.buffer).toString('base64')
        assert.ok((bits.get(key) ?? text) === text, `${key}: other bits than with one thread`)
        bits.set(key, text)
      }
    }
  })
}

check('a packed operand of more than 32 MiB goes by in column blocks', () => {
  const [m, n, k] = [17, 4301, 2048]
  const s = new Sampler(9)
  const whole = (size: number) => Float64Array.from({ length: size }, () => Math.floor(s.next() * 7) - 3)
  const [x, y] = [whole(m * k), whole(n * k)]
  const [a, b] = [place([x], m, k, 'rows', 'float32'), place([y], k, n, 'columns', 'bfloat16')]
  const [c, bias] = [take(m * n, 'float32'), take(n, 'float32')]
  f32View(c, m * n).fill(2)
  f32View(bias, n).forEach((_, j, view) => (view[j] = j))
  gemm({ m, n, k, batch: 1, a, b, c: { ptr: c, ld: n, batch: 0 }, bias, accumulate: true })
  const result = f32View(c, m * n)
  for (let probe = 0; probe < 2000; probe++) {
    const [i, j] = [probe % m, Math.floor(s.next() * n)]
    let expected = 2 + j
    for (let p = 0; p < k; p++) expected += x[i * k + p] * y[p * n + j]
    assert.is(result[i * n + j], expected, `element (${i}, ${j})`)
  }
})

test.run()
