// load_file and save_file: tensors of every type, and what no tensor can hold.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  bytesSink,
  bytesSource,
  load_file,
  type SafetensorsDType,
  save_file,
  type TensorToWrite,
  writeSafetensors,
} from '../../src/io/index.ts'
import '../../src/ops/index.ts'
import { Tensor } from '../../src/tensor/tensor.ts'
import { DTypeError } from '../../src/util/errors.ts'
import { heapUsage } from '../../src/wasm/index.ts'
import { golden, refuses, written } from './files.ts'

const expected = JSON.parse(new TextDecoder().decode(golden('expected.json')))

const load = async (tensors: TensorToWrite[]) =>
  load_file(bytesSource(await written((sink) => writeSafetensors(sink, tensors)), 'file'))

test("every type of Python's file", async () => {
  const before = heapUsage().used
  const tensors = await load_file(bytesSource(golden('types.safetensors')))
  const ramp = Array.from({ length: 12 }, (_, i) => i - 6)
  const dtypes: Record<string, [dtype: string, values: (number | boolean)[]]> = {
    f64: ['float32', ramp.map((x) => Math.fround(x / 3))],
    f32: ['float32', ramp.map((x) => Math.fround(x / 7))],
    f8_e4m3: ['bfloat16', ramp],
    f8_e5m2: ['bfloat16', ramp],
    i64: ['int64', ramp.map((x) => x * 2 ** 40)],
    i32: ['int32', ramp.map((x) => x * 1000)],
    i16: ['int32', ramp.map((x) => x * 100)],
    i8: ['int8', ramp],
    u8: ['uint8', ramp.map(Math.abs)],
    u16: ['int32', ramp.map(Math.abs)],
    u32: ['int64', ramp.map(Math.abs)],
    u64: ['int64', ramp.map(Math.abs)],
    bool: ['bool', ramp.map((x) => x > 0)],
    scalar: ['float32', [1.5]],
    empty: ['float32', []],
    __proto__: ['float32', [2, 2]],
  }
  for (const [name, [dtype, values]] of Object.entries(dtypes)) {
    const tensor = tensors[name]
    assert.is(tensor.dtype, dtype, name)
    assert.equal(tensor.shape, values.length === 12 ? [3, 4] : name === 'empty' ? [0, 4] : name === 'scalar' ? [] : [2])
    assert.equal([tensor.tolist()].flat(2), values, name)
  }
  assert.equal(Buffer.from(tensors.bf16.data.buffer).toString('hex'), expected.safetensors.bf16.hex)
  assert.equal(Buffer.from(tensors.f16.data.buffer).toString('hex'), expected.safetensors.f16.hex)
  for (const tensor of Object.values(tensors)) tensor.dispose()
  assert.is(heapUsage().used, before)
})

test("each of the 256 numbers of PyTorch's eight-bit types", async () => {
  for (const [dtype, values] of Object.entries(expected.eight_bits) as [SafetensorsDType, (number | string)[]][]) {
    const { t } = await load([
      { name: 't', dtype, shape: [256], data: () => Uint8Array.from({ length: 256 }, (_, i) => i) },
    ])
    assert.equal(
      t.tolist(),
      values.map((x) =>
        x === 'nan' ? Number.NaN : x === 'inf' ? Number.POSITIVE_INFINITY : x === '-inf' ? Number.NEGATIVE_INFINITY : x,
      ),
      dtype,
    )
    t.dispose()
  }
})

test('values and types that no tensor can hold', async () => {
  const u64 = (x: bigint): TensorToWrite => ({
    name: 'u',
    dtype: 'U64',
    shape: [2],
    data: () => new Uint8Array(BigUint64Array.of(1n, x).buffer),
  })
  const { u } = await load([u64(2n ** 63n - 1n)])
  assert.equal([...(u.data as BigInt64Array)], [1n, 2n ** 63n - 1n])
  u.dispose()
  const before = heapUsage().used
  await refuses(() => load([u64(2n ** 63n)]), 'tensor "u"', /below 2\^63, found 9223372036854775808/)
  const others: TensorToWrite[] = [
    { name: 'c', dtype: 'C64', shape: [1], data: () => new Uint8Array(8) },
    { name: 'f4', dtype: 'F4', shape: [4], data: () => new Uint8Array(2) },
  ]
  for (const tensor of others) {
    const error = await load([u64(1n), tensor]).catch((e) => e)
    assert.instance(error, DTypeError)
    assert.match(
      error.message,
      new RegExp(`file: tensor "${tensor.name}": no dtype holds ${tensor.dtype}. Supported: F32, F16`),
    )
  }
  assert.is(heapUsage().used, before, 'what was loaded before the error is freed')
})

test('bytes of a bool other than 0 and 1 are true', async () => {
  const { b } = await load([{ name: 'b', dtype: 'BOOL', shape: [4], data: () => Uint8Array.of(0, 1, 2, 255) }])
  assert.equal([...(b.data as Uint8Array)], [0, 1, 1, 1])
  b.dispose()
})

test('conversion goes piece by piece', async () => {
  const n = 400_001 // three pieces
  const values = Float64Array.from({ length: n }, (_, i) => i / 2)
  const { t } = await load([{ name: 't', dtype: 'F64', shape: [n], data: () => new Uint8Array(values.buffer) }])
  assert.ok((t.data as Float32Array).every((x, i) => x === i / 2))
  t.dispose()
})

test('saved tensors are loaded equal; views too', async () => {
  const whole = Tensor.from([1, 2, 3, 4, 5, 6], [2, 3])
  const transposed = whole.alias([3, 2], [1, 3])
  const row = whole.alias([3], [1], 3)
  const ids = Tensor.from([1n, -(2n ** 60n)], [2], 'int64')
  const empty = Tensor.from([], [0, 2], 'bool')
  const sink = bytesSink()
  await save_file({ whole, transposed, row, ids, empty }, sink, { made: 'here' })
  const loaded = await load_file(bytesSource(sink.bytes()))
  assert.equal(loaded.whole.tolist(), [
    [1, 2, 3],
    [4, 5, 6],
  ])
  assert.equal(loaded.transposed.tolist(), [
    [1, 4],
    [2, 5],
    [3, 6],
  ])
  assert.equal(loaded.row.tolist(), [4, 5, 6])
  assert.equal([...(loaded.ids.data as BigInt64Array)], [1n, -(2n ** 60n)])
  assert.equal(loaded.empty.shape, [0, 2])
  assert.is(loaded.empty.dtype, 'bool')
  const again = bytesSink()
  await save_file(new Map(Object.entries({ empty, ids, row, transposed, whole })), again, { made: 'here' })
  assert.equal(again.bytes(), sink.bytes(), 'the order in which they are given does not matter')
  for (const tensor of [whole, transposed, row, ids, empty, ...Object.values(loaded)]) tensor.dispose()
})

test.run()
