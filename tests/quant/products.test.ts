// The kernels of quantized weights: rounding and reading back as Python's gguf does, products exact but for float32's rounding,
// and alike to the bit for every number of tokens.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Sampler } from '../../src/ops/reference.ts'
import { BLOCK, FORMATS, type FormatName, rowBytes } from '../../src/quant/formats.ts'
import { dequantize, pack, qmatmul, qmatmulGradient, repack, repackedBytes } from '../../src/quant/products.ts'
import { alloc, f32View, free, heapUsage, i32View, init, u8View } from '../../src/wasm/index.ts'

const formats = Object.keys(FORMATS) as FormatName[]
const golden = JSON.parse(readFileSync('tests/golden/quant.json', 'utf8'))
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))
const floatsOf = (text: string) => new Float32Array(bytesOf(text).buffer)

/** Pointers that are given back when the test is over. */
let live: number[] = []
function take(bytes: number): number {
  const ptr = alloc(bytes)
  live.push(ptr)
  return ptr
}
function put(values: Float32Array): number {
  const ptr = take(values.byteLength)
  f32View(ptr, values.length).set(values)
  return ptr
}
const floats = (ptr: number, n: number) => f32View(ptr, n).slice()

function check(name: string, run: () => void): void {
  test(name, () => {
    run()
    for (const ptr of live) free(ptr)
    live = []
    assert.is(heapUsage().used, 0, 'bytes left behind')
  })
}

/** A repacked weight of rounded normal numbers, and its values. */
function weight(format: FormatName, n: number, k: number, s = new Sampler()): { w: number; values: Float32Array } {
  const x = put(Float32Array.from(s.randn(Math.max(n * k, 1)).data))
  const w = take(repackedBytes(format, n, k))
  u8View(w, repackedBytes(format, n, k)).fill(255) // rows beyond n must not show
  pack(format, x, w, (n * k) / BLOCK)
  repack(format, w, n, k)
  const out = take(n * k * 4)
  dequantize(format, w, k, 0, n, out)
  return { w, values: floats(out, n * k) }
}

const f32 = Math.fround

/** Rounded to even on ties. */
function nearest(x: number): number {
  const whole = Math.round(x)
  return Math.abs(x % 1) === 0.5 && whole % 2 !== 0 ? whole - 1 : whole
}

/** What the kernels make of activations, in float32 steps. */
function rounded(x: Float32Array): Float64Array {
  const out = new Float64Array(x.length)
  for (let b = 0; b < x.length; b += BLOCK) {
    const block = x.subarray(b, b + BLOCK)
    const range = Math.max(...block.map(Math.abs))
    const [scale, inverse] = [f32(range / 32767), range > 0 ? f32(32767 / range) : 0]
    block.forEach((v, i) => (out[b + i] = scale * nearest(f32(v * inverse))))
  }
  return out
}

function forms(): void {
  for (const format of formats) {
    check(`${format}: rounds as gguf does, bit for bit`, () => {
      const x = put(floatsOf(golden.x))
      const expected = bytesOf(golden[format].blocks)
      const out = take(expected.length)
      pack(format, x, out, floatsOf(golden.x).length / BLOCK)
      assert.equal(u8View(out, expected.length).slice(), expected)
    })

    check(`${format}: reads back as gguf does, bit for bit`, () => {
      const raw = bytesOf(golden[format].blocks)
      const values = floatsOf(golden[format].values)
      for (const blocksInRow of [1, 7]) {
        const k = blocksInRow * BLOCK
        const n = values.length / k // 49 rows and 7: neither is whole groups
        const w = take(repackedBytes(format, n, k))
        u8View(w, raw.length).set(raw)
        repack(format, w, n, k)
        const out = take(values.byteLength)
        dequantize(format, w, k, 0, n, out)
        assert.equal(new Uint32Array(floats(out, values.length).buffer), new Uint32Array(values.buffer))
        const rows = [n - 1, 0, 2, 2]
        const ids = take(16)
        i32View(ids, 4).set(rows)
        dequantize(format, w, k, ids, 4, out)
        assert.equal(
          floats(out, 4 * k),
          Float32Array.from(rows.flatMap((row) => [...values.subarray(row * k, row * k + k)])),
        )
      }
    })

    check(`${format}: products of rounded activations are exact`, () => {
      for (const [m, n, k] of [
        [1, 1, 32],
        [1, 7, 96],
        [2, 4, 64],
        [3, 9, 32],
        [5, 6, 2112],
        [130, 5, 64],
        [4, 130, 96],
      ]) {
        const s = new Sampler(m + n + k)
        const { w, values } = weight(format, n, k, s)
        const given = Float32Array.from(s.randn(m * k).data)
        given.fill(0, 0, Math.min(k, BLOCK)) // a block of zeros
        given.fill(-7.7, m * k - BLOCK) // and one without range
        given.subarray(BLOCK, 2 * BLOCK).forEach((_, i, block) => (block[i] *= 1e-3))
        const a = rounded(given)
        const bias = Float32Array.from(s.randn(n).data)
        const out = take(m * n * 4)
        qmatmul({ format, m, n, k, x: put(given), w, bias: put(bias), out })
        const result = floats(out, m * n)
        for (let t = 0; t < m; t++)
          for (let r = 0; r < n; r++) {
            let [sum, size] = [bias[r], Math.abs(bias[r])]
            for (let i = 0; i < k; i++) {
              sum += a[t * k + i] * values[r * k + i]
              size += Math.abs(a[t * k + i] * values[r * k + i])
            }
            const error = Math.abs(result[t * n + r] - sum)
            assert.ok(
              error <= 1e-6 * size,
              `${m}x${n}x${k}, token ${t}, row ${r}: ${result[t * n + r]}, expected ${sum}`,
            )
          }
      }
    })

    check(`${format}: a token's result does not depend on the others, to the bit`, () => {
      const [m, n, k] = [131, 11, 2144]
      const s = new Sampler(5)
      const { w } = weight(format, n, k, s)
      const x = put(Float32Array.from(s.randn(m * k).data))
      const [all, one] = [take(m * n * 4), take(m * n * 4)]
      qmatmul({ format, m, n, k, x, w, bias: 0, out: all })
      for (const part of [1, 2, 6]) {
        for (let t = 0; t < m; t += part)
          qmatmul({ format, m: Math.min(part, m - t), n, k, x: x + t * k * 4, w, bias: 0, out: one + t * n * 4 })
        assert.equal(
          new Uint8Array(floats(one, m * n).buffer),
          new Uint8Array(floats(all, m * n).buffer),
          `${part} at a time`,
        )
      }
    })

    check(`${format}: NaN and infinity in a token stay in it`, () => {
      const [m, n, k] = [5, 6, 64]
      const { w } = weight(format, n, k)
      const given = new Float32Array(m * k).fill(1)
      given[k + 3] = Number.NaN
      given[3 * k + 40] = Number.POSITIVE_INFINITY
      const out = take(m * n * 4)
      qmatmul({ format, m, n, k, x: put(given), w, bias: 0, out })
      floats(out, m * n).forEach((y, i) =>
        assert.is(Number.isFinite(y), ![1, 3].includes(Math.floor(i / n)), `element ${i}: ${y}`),
      )
    })

    check(`${format}: the gradient is taken through the weight's own values`, () => {
      for (const [m, n, k] of [
        [3, 10, 64],
        [2, 1030, 4096],
      ]) {
        const s = new Sampler(n)
        const { w, values } = weight(format, n, k, s)
        const g = Float32Array.from(s.randn(m * n).data)
        const dx = take(m * k * 4)
        qmatmulGradient({ format, m, n, k, w }, put(g), dx)
        const result = floats(dx, m * k)
        for (let at = 0; at < m * k; at += at < k ? 1 : 7) {
          let [sum, size] = [0, 0]
          for (let r = 0; r < n; r++) {
            const product = g[Math.floor(at / k) * n + r] * values[r * k + (at % k)]
            sum += product
            size += Math.abs(product)
          }
          assert.ok(Math.abs(result[at] - sum) <= 1e-6 * size, `element ${at}: ${result[at]}, expected ${sum}`)
        }
      }
    })
  }
}

test('relaxed SIMD starts', () => init({ wasm: 'relaxed', threads: 2 }))
forms()
test('plain SIMD starts', () => init({ wasm: 'simd', threads: 1 }))
forms()

check('rows that are too long for scratch are refused', () => {
  assert.throws(() => repack('q8_0', 0, 4, 1 << 17), /rows of 131072 weights are too long/)
  assert.is(rowBytes('q4_1', 96), 60)
})

test.run()
