// Weights from files into modules: by name and dtype, in bounded memory, with one report of what does not fit.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  bytesSource,
  type ByteSource,
  openGguf,
  openSafetensors,
  type StoredTensor,
  type TensorToWrite,
  writeGguf,
  writeSafetensors,
} from '../../src/io/index.ts'
import { type LoadOptions, loadWeights, placesBy } from '../../src/models/loading.ts'
import { Linear } from '../../src/nn/layers.ts'
import { Module } from '../../src/nn/module.ts'
import { Parameter } from '../../src/nn/parameter.ts'
import '../../src/ops/index.ts'
import { QuantizedLinear } from '../../src/quant/layers.ts'
import { fromFloat16, toBfloat16, toFloat16 } from '../../src/tensor/half.ts'
import { tidy } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { RushlightError } from '../../src/util/errors.ts'
import { heapUsage, OutOfMemoryError, resetPeak } from '../../src/wasm/index.ts'
import { written } from '../io/files.ts'

class Leaf extends Module<[], void> {
  weight: Parameter
  bias: Parameter
  constructor(rows: number, columns: number) {
    super()
    this.weight = Parameter.lazy([rows, columns], (t) => void t.view1d().fill(7 as never))
    this.bias = Parameter.lazy([rows], (t) => void t.view1d().fill(7 as never))
  }
  forward() {}
}

class Tree extends Module<[], void> {
  a: Leaf
  b: Leaf
  tied: Parameter
  constructor(rows = 4, columns = 3) {
    super()
    this.a = new Leaf(rows, columns)
    this.b = new Leaf(rows, columns)
    this.tied = this.a.weight
  }
  forward() {}
}

class Pair extends Module<[], void> {
  a: Linear | QuantizedLinear
  b: Linear | QuantizedLinear
  constructor(rows: number, columns: number) {
    super()
    this.a = new Linear(columns, rows)
    this.b = new Linear(columns, rows)
  }
  forward() {}
}

const ramp = (n: number, from = 0) => Float32Array.from({ length: n }, (_, i) => (from + i) / 8)

function stored(
  name: string,
  shape: number[],
  dtype: 'F32' | 'F16' | 'BF16' | 'F64' | 'I64' = 'F32',
  from = 0,
): TensorToWrite {
  const values = ramp(
    shape.reduce((a, b) => a * b, 1),
    from,
  )
  const arrays = {
    F32: () => values,
    F64: () => Float64Array.from(values),
    F16: () => Uint16Array.from(values, toFloat16),
    BF16: () => Uint16Array.from(values, toBfloat16),
    I64: () => BigInt64Array.from(values, (x) => BigInt(Math.round(x * 8))),
  }
  return { name, dtype, shape, data: () => new Uint8Array(arrays[dtype]().buffer) }
}

/** What a Tree has, of one dtype. */
const all = (dtype: 'F32' | 'F16' | 'BF16' | 'F64' = 'F32') => [
  stored('a.weight', [4, 3], dtype),
  stored('a.bias', [4], dtype, 100),
  stored('b.weight', [4, 3], dtype, 200),
  stored('b.bias', [4], dtype, 300),
]

const checkpointOf = async (tensors: TensorToWrite[]) =>
  openSafetensors(bytesSource(await written((sink) => writeSafetensors(sink, tensors)), 'file'))

async function load(tensors: TensorToWrite[], options?: LoadOptions, tree = new Tree()) {
  return { tree, info: await loadWeights(tree, await checkpointOf(tensors), options) }
}

const numbers = (tensor: Tensor): number[] => tensor.tolist().flat()

test('every weight comes in the dtype that is asked for', async () => {
  const before = heapUsage().used
  for (const dtype of ['F32', 'F16', 'BF16', 'F64'] as const)
    for (const wanted of ['auto', 'float32', 'float16', 'bfloat16'] as const) {
      const { tree } = await load(all(dtype), { dtype: wanted })
      const kept = ({ F32: 'float32', F16: 'float16', BF16: 'bfloat16', F64: 'float32' } as const)[dtype]
      assert.is(tree.a.weight.dtype, wanted === 'auto' ? kept : wanted)
      assert.equal(numbers(tree.a.weight), [...ramp(12)], `${dtype} as ${wanted}`)
      assert.equal(numbers(tree.b.bias).map(Math.round), [...ramp(4, 300)].map(Math.round))
      assert.ok(tree.a.weight.requires_grad)
      tree.dispose()
    }
  assert.is(heapUsage().used, before, 'nothing is left in the heap')
})

test('tied weights are loaded once, from any of their names', async () => {
  for (const names of [['a.weight'], ['tied'], ['a.weight', 'tied']]) {
    const { tree, info } = await load([...all().slice(1), ...names.map((name) => stored(name, [4, 3]))])
    assert.is(tree.tied, tree.a.weight)
    assert.equal(numbers(tree.tied), [...ramp(12)])
    assert.equal(info, { missing_keys: [], unexpected_keys: [], mismatched_keys: [] })
    tree.dispose()
  }
})

test('a matrix that is stored the other way round, in any dtype, and into blocks', async () => {
  const before = heapUsage().used
  const [N, K] = [6, 64]
  const turned = stored('a.weight', [K, N]) // element (k, n) is its place in the file
  const tensors = [turned, stored('a.bias', [N]), stored('b.weight', [N, K]), stored('b.bias', [N])]
  const place = (name: string) => ({ name, transposed: name === 'a.weight' })
  const file = [...ramp(N * K)]
  const expected = Array.from({ length: N * K }, (_, i) => file[(i % K) * N + Math.floor(i / K)])
  const loaded = async (options: LoadOptions) => {
    const pair = new Pair(N, K)
    await loadWeights(pair, await checkpointOf(tensors), { place, ...options })
    return pair
  }
  const plain = await loaded({})
  assert.equal(numbers((plain.a as Linear).weight), expected)
  const half = await loaded({ dtype: 'float16' })
  assert.equal(
    numbers((half.a as Linear).weight),
    expected.map((x) => fromFloat16(toFloat16(x))),
  )
  const rounded = await loaded({ quantize: (_, shape) => (shape.length === 2 ? 'q8_0' : undefined) })
  tidy(() => {
    for (const name of ['a', 'b'] as const) {
      assert.instance(rounded[name], QuantizedLinear)
      const wanted = QuantizedLinear.from(plain[name] as Linear, 'q8_0').weight
      assert.equal(numbers((rounded[name] as QuantizedLinear).weight.dequantize()), numbers(wanted.dequantize()))
      wanted.dispose()
    }
  })
  for (const pair of [plain, half, rounded]) pair.dispose()
  assert.is(heapUsage().used, before)
})

test('one error lists everything that does not fit, and nothing is loaded', async () => {
  const before = heapUsage().used
  const tree = new Tree()
  const wrong = [stored('a.weight', [3, 4]), stored('a.bias', [4]), stored('x', [1]), stored('y', [1])]
  try {
    await load(wrong, {}, tree)
    assert.unreachable()
  } catch (error) {
    assert.instance(error, RushlightError)
    assert.is(
      (error as Error).message,
      'file: the weights do not fit the model.\n' +
        'missing: b.weight, b.bias\n' +
        'unexpected: x, y\n' +
        'mis-shaped: a.weight: expected [4, 3], found [3, 4]',
    )
  }
  assert.is(heapUsage().used, before)
  const { info } = await load(wrong, { strict: false }, tree)
  assert.equal(info, {
    missing_keys: ['b.weight', 'b.bias'],
    unexpected_keys: ['x', 'y'],
    mismatched_keys: [['a.weight', [3, 4], [4, 3]]],
  })
  assert.equal(numbers(tree.a.bias), [...ramp(4)])
  assert.equal(numbers(tree.b.bias), [7, 7, 7, 7], 'what is missing keeps its initial values')
  tree.dispose()
})

test('names of files: renamed, left out, with rows in another order and other values', async () => {
  const order = [2, 0, 3, 1] // row r of the weight is row order[r] of the file
  const place = (name: string) => (name === 'extra' ? null : { name: name.replace('A.', 'a.') })
  for (const dtype of ['float32', 'bfloat16'] as const) {
    const tensors = [stored('A.weight', [4, 3]), ...all().slice(1), stored('extra', [2])]
    const file = await openSafetensors(bytesSource(await written((sink) => writeSafetensors(sink, tensors))))
    const converted = {
      rows: (row: number) => order[row],
      restore: (values: Float32Array) => void values.forEach((x, i) => void (values[i] = x + 1)),
    }
    const tree = new Tree()
    await loadWeights(
      tree,
      {
        ...file,
        tensors: new Map([...file.tensors].map(([name, t]) => [name, name === 'A.weight' ? { ...t, converted } : t])),
      },
      { place, dtype },
    )
    const rows = [0, 3, 6, 9].map((from) => [...ramp(3, from)])
    assert.equal(
      tree.a.weight.tolist(),
      order.map((row) => rows[row].map((x) => x + 1)),
    )
    tree.dispose()
  }
  let message = ''
  await load([...all(), stored('A.weight', [4, 3])], { place }).catch((error) => (message = error.message))
  assert.match(message, 'both A.weight and a.weight are the weight a.weight')
})

test('checkpoints of other classes: legacy names, with and without prefix and head', async () => {
  const plain = { base_model_prefix: '', rename: [], ignore_unexpected: [] }
  class Head extends Module<[], void> {
    base: Tree
    head: Parameter
    constructor() {
      super()
      this.base = new Tree()
      this.head = Parameter.lazy([2], () => {})
    }
    forward() {}
  }
  const prefixed = all().map((tensor) => ({ ...tensor, name: `base.${tensor.name}` }))
  const cases: [Module, Parameters<typeof placesBy>[0], TensorToWrite[]][] = [
    [new Tree(), plain, all()],
    [new Tree(), plain, [...prefixed, stored('head', [2]), stored('lm.head', [9])]],
    [new Head(), { ...plain, base_model_prefix: 'base' }, [...all(), stored('head', [2])]],
    [new Head(), { ...plain, base_model_prefix: 'base' }, [...prefixed, stored('head', [2])]],
    [
      new Tree(),
      { ...plain, rename: [{ from: /gamma$/, to: 'weight' }] },
      [stored('a.gamma', [4, 3]), ...all().slice(1)],
    ],
    [
      new Head(),
      { ...plain, base_model_prefix: 'base', ignore_unexpected: [/^base\.old\./, /ids$/] },
      [...all(), stored('head', [2]), stored('old.x', [1]), stored('ids', [3], 'I64')],
    ],
  ]
  for (const [module, spelling, tensors] of cases) {
    const checkpoint = await checkpointOf(tensors)
    const info = await loadWeights(module, checkpoint, { place: placesBy(spelling, module, checkpoint) })
    assert.equal(info, { missing_keys: [], unexpected_keys: [], mismatched_keys: [] })
    module.dispose()
  }
})

test('GGUF tensors of plain elements', async () => {
  const bytes = await written((sink) =>
    writeGguf(sink, {
      metadata: new Map(),
      types: new Map(),
      tensors: all('BF16').map(({ dtype, ...tensor }) => ({ ...tensor, type: dtype })),
    }),
  )
  const tree = new Tree()
  await loadWeights(tree, await openGguf(bytesSource(bytes)))
  assert.is(tree.a.weight.dtype, 'bfloat16')
  assert.equal(numbers(tree.a.weight), [...ramp(12)])
  tree.dispose()
})

test('a read that fails midway gives its memory back', async () => {
  const bytes = await written((sink) => writeSafetensors(sink, all()))
  for (const dtype of ['auto', 'bfloat16'] as const) {
    const before = heapUsage().used
    let reads = 0
    const inner = bytesSource(bytes, 'file')
    const source: ByteSource = {
      ...inner,
      async readInto(into, offset) {
        if (++reads > 4) throw new RushlightError('cut')
        return inner.readInto(into, offset)
      },
    }
    const tree = new Tree()
    let message = ''
    await loadWeights(tree, await openSafetensors(source), { dtype }).catch((error) => (message = error.message))
    assert.is(message, 'cut')
    tree.dispose()
    assert.is(heapUsage().used, before)
  }
})

test('a model that can never fit is refused before anything is read', async () => {
  const shape = [1 << 16, 1 << 15] // 8 GiB as F32
  const source = bytesSource(new Uint8Array(0), 'file')
  const offset = 0
  const tensors = new Map<string, StoredTensor>()
  for (const name of ['a.weight', 'b.weight'])
    tensors.set(name, { name, type: 'F32', shape, source, offset, bytes: 4 * shape[0] * shape[1] })
  for (const name of ['a.bias', 'b.bias'])
    tensors.set(name, { name, type: 'F32', shape: [shape[0]], source, offset, bytes: 4 * shape[0] })
  const before = heapUsage().used
  const error = await loadWeights(new Tree(shape[0], shape[1]), { name: 'huge', tensors, async close() {} }).catch(
    (e) => e,
  )
  assert.instance(error, OutOfMemoryError)
  assert.match(
    error.message,
    /huge as Tree needs 16.00 GiB, .* GiB of the heap's .* GiB are free. Hint: a smaller dtype/,
  )
  assert.is(heapUsage().used, before)
})

test('memory while loading: the weights and at most 64 MiB more', async () => {
  const [rows, columns] = [4096, 2048] // 64 MiB in all as F32
  const zeros = new Uint8Array(rows * columns * 4)
  const tensors = ['a.weight', 'b.weight'].map(
    (name): TensorToWrite => ({ name, dtype: 'F32', shape: [rows, columns], data: () => zeros }),
  )
  tensors.push(...['a.bias', 'b.bias'].map((name) => stored(name, [rows])))
  const bytes = await written((sink) => writeSafetensors(sink, tensors))
  for (const dtype of ['auto', 'bfloat16'] as const) {
    const tree = new Tree(rows, columns)
    const before = heapUsage().used
    resetPeak()
    await loadWeights(tree, await openSafetensors(bytesSource(bytes)), { dtype })
    const weights = heapUsage().used - before
    const elements = 2 * rows * (columns + 1)
    assert.ok(Math.abs(weights - elements * (dtype === 'auto' ? 4 : 2)) < 4096, `${weights} bytes of weights`)
    assert.ok(
      heapUsage().peak - before - weights < 64 << 20,
      `${heapUsage().peak - before - weights} bytes more at the peak`,
    )
    tree.dispose()
  }
})

test.run()
