// GGUF's block types: read as Python's gguf reads them, bit for bit, and kept in formats that have products, within stated errors.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GGML_TYPES } from '../../src/io/index.ts'
import { BLOCK, BLOCK_TYPES, type BlockTypeName, isKept } from '../../src/quant/formats.ts'
import { unpack } from '../../src/quant/products.ts'
import { QuantizedWeight } from '../../src/quant/weight.ts'
import { fromFloat16, toFloat16 } from '../../src/tensor/half.ts'
import { f32View, heapUsage, init, u8View, withTemp } from '../../src/wasm/index.ts'

const types = Object.keys(BLOCK_TYPES) as BlockTypeName[]
const golden = JSON.parse(readFileSync('tests/golden/blocks.json', 'utf8'))

/** Positions of float16 numbers in a block: as in tests/golden/make_quant.py, like all of what makes the blocks. */
const HALVES: Record<BlockTypeName, number[]> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
  IQ4_NL: [0],
  IQ4_XS: [0],
}
const SPECIAL = [0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0x3c00]

/** `count` blocks of random bytes with finite float16 numbers, or those that `halves` gives, then `special` with special ones. */
function randomBlocks(type: BlockTypeName, count: number, special: number, halves?: (j: number) => number): Uint8Array {
  const size = BLOCK_TYPES[type].bytes
  let state = size
  const data = Uint8Array.from({ length: (count + special) * size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  })
  for (let i = 0; i < count + special; i++)
    HALVES[type].forEach((at, j) => {
      const [low, high] = [i * size + at, i * size + at + 1]
      let half = data[low] | (data[high] << 8)
      if ((half & 0x7c00) === 0x7c00) half &= 0xbfff
      if (halves) half = toFloat16(halves(j))
      if (i >= count) half = SPECIAL[(i * (1 + 6 * j) + j) % SPECIAL.length]
      data[low] = half & 255
      data[high] = half >> 8
    })
  return data
}

function unpacked(type: BlockTypeName, data: Uint8Array): Float32Array {
  const { block, bytes } = BLOCK_TYPES[type]
  const blocks = data.length / bytes
  return withTemp(data.length, (from) =>
    withTemp(blocks * block * 4, (to) => {
      u8View(from, data.length).set(data)
      unpack(type, from, blocks, to)
      return f32View(to, blocks * block).slice()
    }),
  )
}

/** What a weight made of the blocks holds, rows of `columns`. */
function kept(type: BlockTypeName, data: Uint8Array, columns: number): Float32Array {
  const { block, bytes, kept } = BLOCK_TYPES[type]
  const rowBytes = (columns / block) * bytes
  const rows = data.length / rowBytes
  const weight = new QuantizedWeight(kept, [rows, columns])
  weight.raw()
  withTemp(data.length, (from) => {
    u8View(from, data.length).set(data)
    const half = rows >> 1 // as if it came in two pieces
    weight.convertRows(type, from, half, 0)
    weight.convertRows(type, from + half * rowBytes, rows - half, half)
  })
  weight.seal()
  const out = weight.dequantize()
  const values = out.view1d().slice() as Float32Array
  out.dispose()
  weight.dispose()
  return values
}

function sha256(values: Float32Array): string {
  const bits = new Uint32Array(values.buffer.slice(values.byteOffset, values.byteOffset + values.byteLength))
  values.forEach((x, i) => {
    if (Number.isNaN(x)) bits[i] = 0x7fc00000
  })
  return createHash('sha256').update(bits).digest('hex')
}

function check(name: string, run: () => void): void {
  test(name, () => {
    const before = heapUsage().used
    run()
    assert.is(heapUsage().used, before, 'bytes left behind')
  })
}

test('the table says what GGUF says of block sizes', () => {
  for (const [name, { block, bytes }] of Object.entries(BLOCK_TYPES)) {
    assert.is(GGML_TYPES[name].block, block, name)
    assert.is(GGML_TYPES[name].bytes, bytes, name)
  }
})

function forms(): void {
  for (const type of types) {
    check(`${type}: reads as gguf does, bit for bit`, () => {
      const values = unpacked(type, randomBlocks(type, 256, 32))
      const { block } = BLOCK_TYPES[type]
      const first = new Float32Array(new Uint8Array(Buffer.from(golden[type].first, 'base64')).buffer)
      assert.equal(values.slice(0, block), first)
      assert.is(sha256(values.subarray(0, 256 * block)), golden[type].finite)
      assert.is(sha256(values.subarray(256 * block)), golden[type].special)
    })
  }
}

/** How a type that has no products is kept. */
const ERRORS: Partial<Record<BlockTypeName, 'exact' | 'scales' | 'rounded'>> = {
  Q5_0: 'exact',
  IQ4_NL: 'exact',
  Q3_K: 'exact',
  IQ4_XS: 'scales',
  Q4_K: 'scales',
  Q5_1: 'rounded',
  Q2_K: 'rounded',
  Q5_K: 'rounded',
  Q6_K: 'rounded',
}

for (const type of types.filter((type) => !isKept(type)))
  check(`${type}: kept as ${BLOCK_TYPES[type].kept}, ${ERRORS[type]}`, () => {
    const { block } = BLOCK_TYPES[type]
    // Scales of about a weight's usual size; minima as large as the rest.
    const data = randomBlocks(type, 210, 0, (j) => (j === 0 ? 0.0011 : 0.0037) * (block === 32 ? 10 : 1))
    const exact = unpacked(type, data)
    const found = kept(type, data, block * 3)
    if (ERRORS[type] === 'exact') {
      assert.is(
        found.findIndex((x, i) => x !== exact[i]),
        -1,
      ) // zeros may have another sign
      return
    }
    let squares = 0
    let all = 0
    for (let b = 0; b < exact.length; b += BLOCK) {
      const of = exact.subarray(b, b + BLOCK)
      const [low, high] = [Math.min(...of), Math.max(...of)]
      // A rounded scale is off by at most 2^-11 of itself, and so is a minimum: for w = q d - m, |q d| + |m| is at most this.
      const ends = type === 'Q4_K' ? Math.abs(low) + (high - low) * 3 : Math.max(high, -low)
      const step = ERRORS[type] === 'rounded' ? Math.max(high, -low) / 254 : 0
      const bound = (step + ends * 2 ** -11) * (1 + 1e-5)
      for (let i = 0; i < BLOCK; i++) {
        const error = found[b + i] - of[i]
        assert.ok(Math.abs(error) <= bound, `${type}: weight ${b + i} is off by ${error}, more than ${bound}`)
        squares += error ** 2
        all += of[i] ** 2
      }
    }
    const relative = Math.sqrt(squares / all)
    if (process.env.RUSHLIGHT_MEASURE) console.log(`${type} as ${BLOCK_TYPES[type].kept}: ${relative.toExponential(2)}`)
    assert.ok(relative > 0 && relative < (ERRORS[type] === 'rounded' ? 5e-3 : 4e-4), `${relative}`)
  })

check('Q3_K: the code that fits int8 only with its sign changed', () => {
  const data = new Uint8Array(110) // third bits 0 and codes 0: all -4; scales 0: all -32
  const d = toFloat16(0.5)
  data[108] = d & 255
  data[109] = d >> 8
  assert.equal(kept('Q3_K', data, 256), new Float32Array(256).fill(128 * fromFloat16(d)))
})

forms()
test('the plain build next', async () => {
  await init({ wasm: 'simd', threads: 1 })
})
forms()

test.run()
