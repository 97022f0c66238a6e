// Quantized weights on raw memory: packing, repacking, products, rows. A weight W [n, k] is repacked in groups of four rows.
import { gemm } from '../ops/gemm.ts'
import { RushlightError } from '../util/errors.ts'
import { launch, withTemp } from '../wasm/index.ts'
import { BLOCK, BLOCK_TYPES, type BlockTypeName, FORMATS, type FormatName, rowBytes } from './formats.ts'

/** Rows that are repacked together. */
const GROUP = 4
/** Tokens that the many-token kernel takes at a time, and those of its panels: see assembly/qgemm.ts. */
const TILE = 4
const PANEL = 128
/** Bytes of one token's block of rounded activations. */
const ACTIVATION_BYTES = 72
/** Bytes of a thread's scratch, into which a group goes for repacking. */
const SCRATCH = 1 << 19
/** Bytes of weights that are dequantized at a time for a gradient. */
const PANEL_BYTES = 1 << 22

// Work of a chunk: blocks of four rows in a one-token product (some microseconds: a layer's whole product takes but a few
// tens), blocks of four rows by tokens in a many-token one, elements to round or to convert.
const GEMV_GRAIN = 1 << 11
const GEMM_GRAIN = 1 << 14
const ELEMENTS_GRAIN = 1 << 16

/** Units of a chunk that has that much work. */
const grain = (work: number, unit: number) => Math.max(1, Math.floor(work / Math.max(1, unit)))
/** About the same, in one chunk or an even number of equal ones: where they are few, two threads get the same. */
function evenGrain(work: number, unit: number, count: number): number {
  const chunks = Math.ceil(count / grain(work, unit))
  return Math.ceil(count / (chunks > 1 ? chunks + (chunks % 2) : 1))
}

/** Bytes of a repacked weight of n rows: rows are rounded up to a multiple of four. */
export function repackedBytes(format: FormatName, n: number, k: number): number {
  return Math.ceil(n / GROUP) * GROUP * rowBytes(format, k)
}

/** Rounds `blocks` × 32 float32 numbers to a file's blocks, as llama.cpp does. */
export function pack(format: FormatName, x: number, out: number, blocks: number): void {
  launch(`pack_${format}`, [x, out], blocks, grain(ELEMENTS_GRAIN, 4 * BLOCK))
}

/** Turns the rows of a file, [n, k] at `weight`, into what the products read, in place. The memory is that of repackedBytes. */
export function repack(format: FormatName, weight: number, n: number, k: number): void {
  const { head, words } = FORMATS[format]
  if (GROUP * rowBytes(format, k) > SCRATCH)
    throw new RushlightError(`repack: rows of ${k} weights are too long: four of them must fit ${SCRATCH} bytes`)
  launch('repack_blocks', [weight, n, k / BLOCK, head, words], Math.ceil(n / GROUP), grain(ELEMENTS_GRAIN, GROUP * k))
}

/** A file's blocks to float32: bit for bit what Python's gguf gives. */
export function unpack(type: BlockTypeName, from: number, blocks: number, to: number): void {
  const name = type.toLowerCase() as Lowercase<typeof type>
  launch(`unpack_${name}`, [from, to], blocks, grain(ELEMENTS_GRAIN, BLOCK_TYPES[type].block))
}

/** A file's blocks of a type that has no products to blocks of its kept format, as files have those. */
export function convert(
  type: Exclude<BlockTypeName, Uppercase<FormatName>>,
  from: number,
  blocks: number,
  to: number,
): void {
  const name = type.toLowerCase() as Lowercase<typeof type>
  launch(`convert_${name}`, [from, to], blocks, grain(ELEMENTS_GRAIN, 4 * BLOCK_TYPES[type].block))
}

/** `count` rows of a repacked weight as float32: those whose numbers stand at `rows` (int32), or the first ones (0). */
export function dequantize(
  format: FormatName,
  weight: number,
  k: number,
  rows: number,
  count: number,
  out: number,
): void {
  launch(`dequantize_${format}`, [weight, rows, out, k / BLOCK], count, grain(ELEMENTS_GRAIN, k))
}

/** Tokens that are taken one by one: two cost less so than a tile of four. */
const FEW = 2

/** Pointers and sizes of a product. */
export interface Product {
  format: FormatName
  m: number
  n: number
  k: number
  /** Activations [m, k], float32. */
  x: number
  /** Repacked weight [n, k]. */
  w: number
  /** [n] of float32, or 0. */
  bias: number
  /** [m, n], float32. */
  out: number
}

/** out = x · Wᵀ + bias, with x rounded to 16 bits by blocks. A row of the result depends on its own row of x alone, to the bit. */
export function qmatmul({ format, m, n, k, x, w, bias, out }: Product): void {
  if (m === 0 || n === 0) return
  const blocks = k / BLOCK
  const tokens = m <= FEW ? 1 : TILE
  const tiles = Math.ceil(m / tokens)
  const groups = Math.ceil(n / GROUP)
  withTemp(
    tiles * tokens * blocks * ACTIVATION_BYTES,
    (a) => {
      launch('round_activations', [x, m, blocks, tokens, a], tiles, grain(ELEMENTS_GRAIN, tokens * k))
      if (m <= FEW) {
        for (let t = 0; t < m; t++)
          launch(
            `qgemv_${format}`,
            [a + t * blocks * ACTIVATION_BYTES, w, bias, out + 4 * t * n, n, blocks],
            groups,
            evenGrain(GEMV_GRAIN, blocks, groups),
          )
        return
      }
      const unit = blocks * Math.min(m, PANEL)
      launch(`qgemm_${format}`, [a, w, bias, out, m, n, blocks], groups * Math.ceil(m / PANEL), grain(GEMM_GRAIN, unit))
    },
    'activations',
  )
}

/** dx = g · W for gradients g [m, n]: the weight is dequantized a few megabytes at a time. */
export function qmatmulGradient(
  { format, m, n, k, w }: Pick<Product, 'format' | 'm' | 'n' | 'k' | 'w'>,
  g: number,
  dx: number,
): void {
  const step = Math.max(GROUP, Math.floor(PANEL_BYTES / (4 * Math.max(1, k)) / GROUP) * GROUP)
  withTemp(Math.min(step, n) * k * 4, (panel) => {
    for (let row = 0; row < n; row += step) {
      const rows = Math.min(step, n - row)
      dequantize(format, w + row * rowBytes(format, k), k, 0, rows, panel)
      gemm({
        m,
        n: k,
        k: rows,
        batch: 1,
        a: { ptr: g + row * 4, dtype: 'float32', rows: n, cols: 1, batch: 0 },
        b: { ptr: panel, dtype: 'float32', rows: k, cols: 1, batch: 0 },
        c: { ptr: dx, ld: k, batch: 0 },
        accumulate: row > 0,
      })
    }
  })
}
