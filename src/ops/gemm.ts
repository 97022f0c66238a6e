// Which matrix kernel, on raw memory: one row goes to a gemv, few rows to dot products, the rest to the packed kernel.
import type { DType } from '../tensor/dtype.ts'
import { launch, runtimeInfo, withTemp } from '../wasm/index.ts'

/** A matrix on the heap: element (row, column) of batch b at ptr + b·batch + row·rows + column·cols, in elements. */
export interface MatrixView {
  ptr: number
  dtype: DType
  rows: number
  cols: number
  /** Distance between batches; 0 where all share one matrix. */
  batch: number
}

/** C = A·B (+ C) (+ bias). A is float32; B may be float16 or bfloat16; C is float32 with contiguous rows. */
export interface GemmProblem {
  m: number
  n: number
  k: number
  batch: number
  a: MatrixView
  b: MatrixView
  c: { ptr: number; ld: number; batch: number }
  /** [n] of float32, or 0. */
  bias?: number
  accumulate?: boolean
}

const SUFFIX: Readonly<Partial<Record<DType, 'f32' | 'f16' | 'bf16'>>> = {
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
}
const COLS = 8
/** Rows of a panel of A: one more needs a fused multiply-add (see assembly/gemm.ts). */
type PanelRows = 5 | 6

/** Multiply-adds that a chunk of the packed kernel has at least (some 40 µs), and at most (half a millisecond). */
const LEAST_CHUNK = 1e6
const MOST_CHUNK = 12e6
/** Multiply-adds of a chunk of dot products. */
const DOTS_CHUNK = 5e5
/** Rows up to which dot products beat packing B. */
const SKINNY = 16
/** Most bytes of packed B at a time: larger ones go by in column blocks. */
const PACKED_BYTES = 1 << 25

/** Computes it. Any size may be 0. */
export function gemm(problem: GemmProblem): void {
  const { m, n, k, batch, a, b, c } = problem
  if (m === 0 || n === 0 || batch === 0) return
  const bytesA = 4
  const bytesB = b.dtype === 'float32' ? 4 : 2
  const rowsContiguous = b.rows === 1 && (b.cols >= k || n === 1) // B is [n,k]: a weight
  const one = m === 1 && a.cols === 1
  if (k > 0 && a.cols === 1 && rowsContiguous && m <= SKINNY) {
    for (let i = 0; i < batch; i++)
      dots(problem, a.ptr + i * a.batch * bytesA, b.ptr + i * b.batch * bytesB, c.ptr + i * c.batch * 4)
  } else if (k > 0 && one && b.cols === 1) {
    for (let i = 0; i < batch; i++)
      axpy(problem, a.ptr + i * a.batch * bytesA, b.ptr + i * b.batch * bytesB, c.ptr + i * c.batch * 4)
  } else if (k > 0 && n === 1 && c.ld === 1 && b.dtype === 'float32' && b.rows === 1 && a.cols === 1 && !problem.bias) {
    // A matrix by a vector: the rows of A are the weights.
    for (let i = 0; i < batch; i++)
      dots(
        { ...problem, m: 1, n: m, a: { ...b, rows: k, cols: 1 }, b: { ...a, rows: 1, cols: a.rows } },
        b.ptr + i * b.batch * 4,
        a.ptr + i * a.batch * 4,
        c.ptr + i * c.batch * 4,
      )
  } else packed(problem, runtimeInfo().build === 'simd' ? 5 : 6)
}

/** m rows of A against the rows of B: no packing. */
function dots({ m, n, k, a, b, c, bias = 0, accumulate }: GemmProblem, pa: number, pb: number, pc: number): void {
  const groups = Math.ceil(n / 4)
  // A gemv is bound by memory: a chunk is some hundred kilobytes of weights.
  const grain = Math.max(1, Math.ceil((m === 1 ? 1 << 16 : DOTS_CHUNK) / (4 * k * m)))
  launch(
    `dots_${SUFFIX[b.dtype]}` as 'dots_f32',
    [pa, pb, pc, m, n, k, a.rows, b.cols, c.ld, bias, accumulate ? 1 : 0],
    groups,
    grain,
  )
}

/** One row of A by B's rows. */
function axpy({ n, k, b, bias = 0, accumulate }: GemmProblem, pa: number, pb: number, pc: number): void {
  launch(
    `axpy_${SUFFIX[b.dtype]}` as 'axpy_f32',
    [pa, pb, pc, n, k, b.rows, bias, accumulate ? 1 : 0],
    Math.ceil(n / 16),
    Math.max(1, Math.ceil((1 << 16) / (16 * k))),
  )
}

/** Both operands packed into panels, then tiles of C, which the threads share. */
function packed(problem: GemmProblem, panelRows: PanelRows): void {
  const { m, n, k, batch, a, b, c, bias = 0, accumulate } = problem
  const aCount = a.batch === 0 ? 1 : batch
  const bCount = b.batch === 0 ? 1 : batch
  const perColumn = 4 * k * bCount
  const width = Math.max(COLS, Math.floor(PACKED_BYTES / Math.max(1, perColumn) / COLS) * COLS)
  if (n > width) {
    const bytesB = b.dtype === 'float32' ? 4 : 2
    for (let j = 0; j < n; j += width)
      packed(
        {
          ...problem,
          n: Math.min(width, n - j),
          b: { ...b, ptr: b.ptr + j * b.cols * bytesB },
          c: { ...c, ptr: c.ptr + j * 4 },
          bias: bias && bias + j * 4,
        },
        panelRows,
      )
    return
  }
  const aPanels = Math.ceil(m / panelRows)
  const bPanels = Math.ceil(n / COLS)
  const aSize = aPanels * panelRows * k
  const bSize = bPanels * COLS * k
  withTemp(
    (aSize * aCount + bSize * bCount) * 4 + 64,
    (temp) => {
      const pb = temp
      const pa = temp + bSize * bCount * 4
      const grain = (lanes: number) => Math.max(1, Math.ceil((1 << 15) / (lanes * Math.max(1, k))))
      launch(
        `pack_columns_${SUFFIX[b.dtype]}` as 'pack_columns_f32',
        [b.ptr, pb, n, k, b.batch, b.cols, b.rows],
        bPanels * bCount,
        grain(COLS),
      )
      launch(
        `pack_rows${panelRows}_f32`,
        [a.ptr, pa, m, k, a.batch, a.rows, a.cols],
        aPanels * aCount,
        grain(panelRows),
      )
      const perPair = panelRows * COLS * Math.max(1, k)
      const { tileRows, tileCols } = tileOf(aPanels, bPanels, batch, perPair)
      launch(
        `gemm${panelRows}_f32`,
        [
          pa,
          pb,
          c.ptr,
          m,
          n,
          k,
          c.ld,
          aCount === 1 ? 0 : aSize,
          bCount === 1 ? 0 : bSize,
          c.batch,
          tileRows,
          tileCols,
          accumulate ? 1 : 0,
          bias,
        ],
        batch * Math.ceil(aPanels / tileRows) * Math.ceil(bPanels / tileCols),
        Math.max(1, Math.round(LEAST_CHUNK / (tileRows * tileCols * perPair))),
      )
    },
    'packed matrix',
  )
}

/**
 * Panels down and across a tile: as square as they can be, since a tile reads its rows and columns once; large where there is much
 * to do, small enough for 32 of them otherwise, so that threads end together; and all about alike.
 */
function tileOf(aPanels: number, bPanels: number, batch: number, perPair: number) {
  const work = Math.min(MOST_CHUNK, Math.max(LEAST_CHUNK, (aPanels * bPanels * batch * perPair) / 32))
  const pairs = Math.max(1, work / perPair)
  const evenly = (panels: number, size: number) => Math.ceil(panels / Math.ceil(panels / size))
  // A panel of A is about two thirds as wide as one of B.
  const tileRows = evenly(aPanels, Math.max(1, Math.min(32, Math.round(Math.sqrt(pairs * 1.4)))))
  const tileCols = evenly(bPanels, Math.max(1, Math.round(pairs / tileRows)))
  return { tileRows, tileCols }
}
