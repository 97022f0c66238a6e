// Result dtypes and integer semantics, as PyTorch has them.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { tensor } from '../../src/ops/creation.ts'
import '../../src/ops/index.ts'
import type { DType } from '../../src/tensor/dtype.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const make = (dtype: DType, dimensions = 1): Tensor => tensor(dimensions ? [1, 0] : 1, { dtype })

// torch.result_type of every pair. int8 with uint8 is int16 there, which we do not have: int32 holds the same values.
const ORDER: DType[] = ['bool', 'uint8', 'int8', 'int32', 'int64', 'float16', 'bfloat16', 'float32']
const PAIRS = [
  'bool',
  'uint8 uint8',
  'int8 int32 int8',
  'int32 int32 int32 int32',
  'int64 int64 int64 int64 int64',
  'float16 float16 float16 float16 float16 float16',
  'bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 float32 bfloat16',
  'float32 float32 float32 float32 float32 float32 float32 float32',
].map((row) => row.split(' '))

test('two tensors', () => {
  ORDER.forEach((a, i) => {
    for (let j = 0; j <= i; j++) {
      for (const [x, y] of [
        [a, ORDER[j]],
        [ORDER[j], a],
      ] as const)
        assert.is(make(x).maximum(make(y)).dtype, PAIRS[i][j], `${x} with ${y}`)
    }
  })
})

test('a tensor without dimensions counts only where its kind is wider', () => {
  assert.is(make('float16').mul(make('float32', 0)).dtype, 'float16')
  assert.is(make('int8').add(make('int64', 0)).dtype, 'int8')
  assert.is(make('int64').add(make('float16', 0)).dtype, 'float16')
  assert.is(make('bool').add(make('int8', 0)).dtype, 'int8')
  assert.is(make('float16', 0).mul(make('float32', 0)).dtype, 'float32')
})

test('JavaScript numbers: whole ones are integers, and any other makes floats of integers', () => {
  assert.is(make('int8').add(2).dtype, 'int8')
  assert.is(make('int8').add(2.5).dtype, 'float32')
  assert.is(make('float16').mul(2.5).dtype, 'float16')
  assert.is(make('bool').add(1).dtype, 'int64')
  assert.is(make('bool').mul(0.5).dtype, 'float32')
  assert.is(make('bool').maximum(true as unknown as Tensor).dtype, 'bool')
})

test('true division and functions of reals give floats, sums of integers int64', () => {
  assert.is(make('int64').div(2).dtype, 'float32')
  assert.is(make('bool').div(make('bool')).dtype, 'float32')
  assert.is(make('int32').exp().dtype, 'float32')
  assert.is(make('float16').exp().dtype, 'float16')
  for (const dtype of ['bool', 'int8', 'uint8', 'int32', 'int64'] as const) assert.is(make(dtype).sum().dtype, 'int64')
  assert.is(make('bfloat16').sum().dtype, 'bfloat16')
  assert.is(make('bool').cumsum(0).dtype, 'int64')
  assert.is(make('int8').amax().dtype, 'int8')
})

test('integers keep every bit, wrap, and divide as in Python', () => {
  const big = tensor([2n ** 53n + 1n, -(2n ** 62n)])
  assert.equal([...(big.add(1).data as BigInt64Array)], [2n ** 53n + 2n, 1n - 2n ** 62n])
  assert.equal([...(big.mul(4).data as BigInt64Array)], [4n * (2n ** 53n + 1n), 0n])
  assert.equal([...(big.sum().data as BigInt64Array)], [2n ** 53n + 1n - 2n ** 62n])
  assert.equal(tensor([250, 10], { dtype: 'uint8' }).add(10).tolist(), [4, 20])
  const [a, b] = [tensor([7n, -7n, 7n, -7n]), tensor([2n, 2n, -2n, -2n])]
  assert.equal(a.floor_divide(b).tolist(), [3, -4, -4, 3])
  assert.equal(a.remainder(b).tolist(), [1, 1, -1, -1])
  assert.equal(a.fmod(b).tolist(), [1, -1, 1, -1])
  assert.equal(a.div(b, 'trunc').tolist(), [3, -3, -3, 3])
  assert.throws(() => a.remainder(0), /remainder: an integer is divided by zero/)
})

test('NaN: extremes propagate it, comparisons refuse it, argmax finds the first', () => {
  const x = tensor([1, Number.NaN, 3, Number.NaN])
  assert.ok(Number.isNaN(x.max().item()))
  assert.ok(Number.isNaN(x.amin().item()))
  assert.is(x.argmax().item(), 1)
  const [values, indices] = x.max(0)
  assert.ok(Number.isNaN(values.item()))
  assert.is(indices.item(), 1)
  assert.equal(x.eq(x).tolist(), [true, false, true, false])
  assert.equal(x.maximum(2).tolist().map(Number.isNaN), [false, true, false, true])
  assert.equal(x.clamp(0, 2).tolist().map(Number.isNaN), [false, true, false, true])
  assert.not.ok(x.equal(x))
  assert.ok(x.allclose(x, 1e-5, 1e-8, true))
})

test.run()
