// Weights of GGUF's block types through the loader: kept in blocks, or as numbers, with bounded memory.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bytesSource, openGguf, writeGguf } from '../../src/io/index.ts'
import { loadWeights } from '../../src/models/loading.ts'
import { Embedding, Linear } from '../../src/nn/layers.ts'
import { Module } from '../../src/nn/module.ts'
import { Parameter } from '../../src/nn/parameter.ts'
import { BLOCK_TYPES, type BlockTypeName } from '../../src/quant/formats.ts'
import { unpack } from '../../src/quant/products.ts'
import { QuantizedEmbedding, QuantizedLinear } from '../../src/quant/layers.ts'
import { toFloat16 } from '../../src/tensor/half.ts'
import { Tensor } from '../../src/tensor/tensor.ts'
import { UnsupportedOptionError } from '../../src/util/errors.ts'
import { f32View, heapUsage, resetPeak, u8View, withTemp } from '../../src/wasm/index.ts'
import { written } from '../io/files.ts'

const types = Object.keys(BLOCK_TYPES) as BlockTypeName[]

/** An embedding with its tied head, and a matrix that belongs to neither. */
class Tied extends Module<[ids: Tensor], Tensor> {
  embed: Embedding
  head: Linear
  loose: Parameter
  constructor(rows: number, columns: number) {
    super()
    this.embed = new Embedding(rows, columns)
    this.head = new Linear(columns, rows, false)
    this.head.weight = this.embed.weight
    this.loose = Parameter.lazy([2, 3, columns], () => {})
  }
  forward(ids: Tensor): Tensor {
    return this.head(this.embed(ids))
  }
}

/** Bytes of blocks with every code, and scales that give weights of about 0.02. */
function blocks(type: BlockTypeName, elements: number): Uint8Array {
  const { block, bytes } = BLOCK_TYPES[type]
  const data = Uint8Array.from({ length: (elements / block) * bytes }, (_, i) => Math.imul(i + 1, 2654435761) >>> 24)
  const scale = toFloat16(block === 32 ? 0.002 : 0.0002)
  const places: Partial<Record<BlockTypeName, number[]>> = { Q2_K: [80, 82], Q3_K: [108], Q6_K: [208] }
  const halves = places[type] ?? (/_1|Q[45]_K/.test(type) ? [0, 2] : [0])
  for (let at = 0; at < data.length; at += bytes)
    for (const half of halves) data.set([scale & 255, scale >> 8], at + half)
  return data
}

function exact(type: BlockTypeName, data: Uint8Array): Float32Array {
  const n = (data.length / BLOCK_TYPES[type].bytes) * BLOCK_TYPES[type].block
  return withTemp(data.length, (from) =>
    withTemp(n * 4, (to) => {
      u8View(from, data.length).set(data)
      unpack(type, from, n / BLOCK_TYPES[type].block, to)
      return f32View(to, n).slice()
    }),
  )
}

function file(type: string, rows: number, columns: number, data: Uint8Array): Promise<Uint8Array> {
  const loose = new Uint8Array((data.length / rows) * 6).fill(0)
  return written((sink) =>
    writeGguf(sink, {
      metadata: new Map(),
      types: new Map(),
      tensors: [
        { name: 'embed.weight', type, shape: [rows, columns], data: () => data },
        { name: 'loose', type, shape: [2, 3, columns], data: () => loose },
      ],
    }),
  )
}

for (const type of types)
  test(`${type}: kept in blocks under 'auto', numbers otherwise`, async () => {
    const before = heapUsage().used
    const [rows, columns] = [70, 512]
    const data = blocks(type, rows * columns)
    const values = exact(type, data)
    const bytes = await file(type, rows, columns, data)

    const model = new Tied(rows, columns)
    await loadWeights(model, await openGguf(bytesSource(bytes)))
    assert.instance(model.embed, QuantizedEmbedding)
    assert.instance(model.head, QuantizedLinear)
    assert.is((model.embed as unknown as QuantizedEmbedding).weight.format, BLOCK_TYPES[type].kept)
    assert.is(model.head.weight, model.embed.weight)
    assert.is(model.loose.dtype, 'float16')

    // The product with the kept weight is that with the file's, within the rounding of both operands.
    const x = Tensor.from(
      Float32Array.from({ length: 5 * columns }, (_, i) => Math.sin(i * i)),
      [5, columns],
      'float32',
    )
    const y = model.head(x)
    const found = y.view1d() as Float32Array
    const xs = x.view1d() as Float32Array
    let [off, all] = [0, 0]
    for (let t = 0; t < 5; t++)
      for (let row = 0; row < rows; row++) {
        let sum = 0
        for (let k = 0; k < columns; k++) sum += xs[t * columns + k] * values[row * columns + k]
        off += (found[t * rows + row] - sum) ** 2
        all += sum ** 2
      }
    assert.ok(Math.sqrt(off / all) < 0.015, `${Math.sqrt(off / all)}`)
    for (const t of [x, y]) t.dispose()
    model.dispose()

    for (const dtype of ['float32', 'bfloat16', 'float16'] as const) {
      const model = new Tied(rows, columns)
      await loadWeights(model, await openGguf(bytesSource(bytes)), { dtype })
      assert.is(model.embed.weight.dtype, dtype)
      const expected = Tensor.from(values, [rows, columns], 'float32')
      const rounded = expected.to(dtype)
      assert.equal(model.embed.weight.data, rounded.data)
      for (const t of [expected, rounded]) t.dispose()
      model.dispose()
    }
    assert.is(heapUsage().used, before)
  })

test('memory while loading: the weights and at most 32 MiB more', async () => {
  const [rows, columns] = [8192, 2048]
  for (const type of ['Q6_K', 'Q4_K'] as const) {
    const bytes = await file(type, rows, columns, blocks(type, rows * columns))
    const model = new Tied(rows, columns)
    const before = heapUsage().used
    resetPeak()
    await loadWeights(model, await openGguf(bytesSource(bytes)))
    const weights = heapUsage().used - before
    assert.ok(heapUsage().peak - before - weights < 32 << 20, `${heapUsage().peak - before - weights} bytes more`)
    model.dispose()
  }
})

test('a type that is unknown is refused with those there are, before anything is read', async () => {
  const bytes = await file('IQ3_S', 4, 256, new Uint8Array(4 * 110))
  const model = new Tied(4, 256)
  try {
    await loadWeights(model, await openGguf(bytesSource(bytes, 'x.gguf')))
    assert.unreachable()
  } catch (error) {
    assert.instance(error, UnsupportedOptionError)
    assert.match(
      (error as Error).message,
      /x\.gguf: tensor "embed\.weight": type: "IQ3_S" is not supported\. Supported: .*"F32".*"Q6_K", "IQ4_NL", "IQ4_XS"/,
    )
  }
  model.dispose()
})

test.run()
