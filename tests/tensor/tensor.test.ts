// Tensors as values: making them, looking at them, dtypes and 16-bit numbers.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/ops/index.ts'
import { arange, eye, full, linspace, meshgrid, tensor, zeros } from '../../src/ops/creation.ts'
import { DTYPES, type DType, dtypeOf, promoteTypes } from '../../src/tensor/dtype.ts'
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../../src/tensor/half.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { contiguousStrides, isContiguous, viewStrides } from '../../src/tensor/shape.ts'
import { Tensor } from '../../src/tensor/tensor.ts'
import golden from '../golden/print.json'

/** A test in a scope. */
const scoped = (name: string, fn: () => void) => test(name, () => tidy(() => fn()))

scoped('what is no operand is refused', () => {
  for (const wrong of ['2', undefined, [1], null, () => 1])
    assert.throws(
      () => tensor([1]).add(wrong as never),
      /an operand must be a tensor, a number, a bigint or a boolean, found/,
    )
})

scoped('tensor() takes the dtype from the data', () => {
  const dtypes: [unknown, string][] = [
    [[1, 2], 'float32'],
    [[1n, 2n], 'int64'],
    [[true, false], 'bool'],
    [[true, 1], 'float32'],
    [[1n, 1], 'float32'],
    [5, 'float32'],
    [[], 'float32'],
    [new Float32Array(2), 'float32'],
    [new Float64Array(2), 'float32'],
    [new BigInt64Array(2), 'int64'],
    [new BigUint64Array(2), 'int64'],
    [new Int32Array(2), 'int32'],
    [new Int16Array(2), 'int32'],
    [new Uint16Array(2), 'int32'],
    [new Uint32Array(2), 'int64'],
    [new Int8Array(2), 'int8'],
    [new Uint8Array(2), 'uint8'],
  ]
  for (const [data, dtype] of dtypes) assert.is(tensor(data as number[]).dtype, dtype)
  assert.equal(tensor(new Uint32Array([4294967295])).tolist(), [4294967295])
  assert.equal(
    tensor([
      [1, 2],
      [3, 4],
      [5, 6],
    ]).shape,
    [3, 2],
  )
  assert.equal(tensor([[], []]).shape, [2, 0])
  assert.equal(tensor([1.7, -1.7], { dtype: 'int64' }).tolist(), [1, -1])
  assert.equal(tensor([0, 2, -0.5], { dtype: 'bool' }).tolist(), [false, true, true])
  assert.equal(tensor([1, 2, 3, 4], { shape: [2, 2], dtype: 'half' }).tolist(), [
    [1, 2],
    [3, 4],
  ])
  assert.ok(tensor([1], { requires_grad: true }).requires_grad)
  assert.throws(
    () => tensor([[1, 2], [3]]),
    /tensor: nested arrays are ragged: expected 2 elements at depth 1, found 1/,
  )
  assert.throws(() => tensor([1, [2]]), /ragged/)
  assert.throws(() => tensor(['a'] as never), /tensor: expected numbers, bigints or booleans, found string/)
  assert.throws(() => tensor([1], { type: 'x' } as never), /tensor: unsupported option type/)
  assert.throws(() => tensor([1], { dtype: 'float64' }), /Unknown dtype 'float64'\. Supported: .*float32 is the widest/)
  assert.throws(() => tensor([1], { device: 'cuda' }), /tensor: device: "cuda" is not supported/)
  assert.throws(() => tensor([1, 2], { shape: [3] }), /2 elements do not fill shape \[3\], which has 3/)
})

scoped("transformers.js's constructor", () => {
  const ids = new Tensor('int64', [1n, 2n, 3n, 4n], [2, 2])
  assert.is(ids.dtype, 'int64')
  assert.equal(ids.dims, [2, 2])
  assert.equal(ids.tolist(), [
    [1, 2],
    [3, 4],
  ])
  assert.equal(ids.data, new BigInt64Array([1n, 2n, 3n, 4n]))
  assert.equal(new Tensor('int64', new BigInt64Array([7n]), [1]).item(), 7)
  assert.equal(new Tensor('float32', new Float32Array([1, 2]), [2, 1]).tolist(), [[1], [2]])
  assert.equal(new Tensor('bool', [1, 0], [2]).tolist(), [true, false])
  assert.equal(new Tensor('fp16', [0.5], [1]).dtype, 'float16')
  assert.throws(() => new Tensor('float32', [1, 2, 3], [2]), /3 elements do not fill shape \[2\]/)
  assert.throws(
    () => new Tensor('float32', [1, 2], [-1, -2]),
    /sizes must be whole numbers from 0 up, found shape \[-1, -2\]/,
  )
  assert.throws(() => new Tensor('string', ['a'] as never, [1]), /Unknown dtype 'string'/)
})

scoped('data is a copy, in row-major order whatever the layout', () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ])
  const { data } = x
  assert.instance(data, Float32Array)
  data[0] = 100
  assert.is(x.select(0, 0).select(0, 0).item(), 1)
  assert.equal([...x.transpose(0, 1).data], [1, 4, 2, 5, 3, 6])
  assert.equal([...x.slice(1, 1).data], [2, 3, 5, 6])
  assert.equal([...x.slice(1, 0, 3, 2).transpose(0, 1).data], [1, 4, 3, 6])
  assert.equal([...tensor([5]).expand([2, 2]).data], [5, 5, 5, 5])
  assert.is(zeros([0, 3]).data.length, 0)
  assert.is(zeros([2, 0, 3]).permute([2, 0, 1]).data.length, 0)
  assert.instance(tensor([1], { dtype: 'bfloat16' }).data, Uint16Array)
  assert.instance(tensor([true]).data, Uint8Array)
})

scoped('tolist and item', () => {
  assert.equal(
    tensor([
      [[1], [2]],
      [[3], [4]],
    ]).tolist(),
    [
      [[1], [2]],
      [[3], [4]],
    ],
  )
  assert.equal(zeros([2, 0]).tolist(), [[], []])
  assert.equal(zeros([0, 2]).tolist(), [])
  assert.is(tensor(3.5).tolist(), 3.5)
  assert.is(tensor([[7]]).item(), 7)
  assert.throws(
    () => tensor([1, 2]).item(),
    /item: expected a tensor of one element, found shape \[2\]\. Hint: tolist\(\)/,
  )
  assert.throws(() => zeros([0]).item(), /item: expected a tensor of one element/)
  const large = BigInt(Number.MAX_SAFE_INTEGER)
  assert.is(tensor(large).item(), Number.MAX_SAFE_INTEGER)
  assert.throws(
    () => tensor(large + 1n).item(),
    /item: 9007199254740992 is beyond 2\^53, where JavaScript numbers are not exact\. Hint: \.data/,
  )
  assert.throws(() => tensor([-(2n ** 60n)]).tolist(), /tolist: -1152921504606846976 is beyond 2\^53/)
})

scoped('sizes and strides', () => {
  const x = zeros([2, 3, 4])
  assert.equal(
    [x.size(), x.size(-1), x.stride(), x.stride(0), x.dim(), x.ndim, x.numel()],
    [[2, 3, 4], 4, [12, 4, 1], 12, 3, 3, 24],
  )
  assert.throws(() => x.size(3), /size: dim 3 is out of range, expected -3 to 2/)
  assert.equal([x.device, x.element_size(), x.is_floating_point()], ['cpu', 4, true])
  assert.not(x.transpose(0, 1).is_contiguous())
  assert.ok(zeros([2, 0, 3]).permute([2, 0, 1]).is_contiguous(), 'nothing is in order')
  assert.ok(zeros([3, 1]).transpose(0, 1).is_contiguous())
})

test('a view exists exactly where strides can say it', () => {
  // Every shape of up to 12 elements in every order of its axes, seen at every other shape.
  const shapes: number[][] = []
  const grow = (shape: number[], n: number) => {
    shapes.push(shape)
    if (shape.length < 3) for (const size of [1, 2, 3]) if (n * size <= 12) grow([...shape, size], n * size)
  }
  grow([], 1)
  let [views, copies] = [0, 0]
  for (const shape of shapes)
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ].map((o) => o.filter((d) => d < shape.length))) {
      const full = contiguousStrides(shape)
      const [from, strides] = [order.map((d) => shape[d]), order.map((d) => full[d])]
      for (const to of shapes.filter((s) => s.reduce((a, b) => a * b, 1) === shape.reduce((a, b) => a * b, 1))) {
        const expected = addresses(from, strides)
        const found = viewStrides(from, strides, to)
        if (found) {
          views++
          assert.equal(addresses(to, found), expected, `${from} by ${strides} as ${to}`)
        } else {
          copies++
          assert.not(isContiguous(from, strides))
          // No strides at all could do it: those of each axis are fixed by its second element.
          const forced = to.map((size, d) => (size === 1 ? 0 : expected[contiguousStrides(to)[d]] - expected[0]))
          assert.not.equal(addresses(to, forced), expected, `${from} by ${strides} as ${to} has a view`)
        }
      }
    }
  assert.ok(views > 100 && copies > 20)
})

/** Where the elements of a layout lie, in row-major order. */
function addresses(shape: readonly number[], strides: readonly number[]): number[] {
  return shape.reduce<number[]>(
    (at, size, d) => at.flatMap((x) => Array.from({ length: size }, (_, i) => x + i * strides[d])),
    [0],
  )
}

scoped('creation', () => {
  assert.equal(arange(5).tolist(), [0, 1, 2, 3, 4])
  assert.is(arange(5).dtype, 'int64')
  assert.equal(arange(1, 2, 0.25).tolist(), [1, 1.25, 1.5, 1.75])
  assert.equal(arange(5, 0, -2).tolist(), [5, 3, 1])
  assert.equal(arange(3, 3).tolist(), [])
  assert.throws(() => arange(0, 5, -1), /arange: step -1 does not lead from 0 to 5/)
  assert.equal(linspace(0, 1, 5).tolist(), [0, 0.25, 0.5, 0.75, 1])
  assert.equal(linspace(3, 9, 1).tolist(), [3])
  for (const dtype of Object.keys(DTYPES) as DType[]) {
    assert.equal(eye(2, 3, { dtype }).tolist().flat().map(Number), [1, 0, 0, 0, 1, 0], dtype)
    assert.equal(full([2], 3, { dtype }).tolist().map(Number), dtype === 'bool' ? [1, 1] : [3, 3], dtype)
    assert.equal(zeros([2], { dtype }).tolist().map(Number), [0, 0], dtype)
  }
  assert.is(full([1], true).dtype, 'bool')
  assert.is(full([1], 1n).dtype, 'int64')
  assert.throws(() => zeros([-1]), /sizes must be whole numbers from 0 up/)
  const [x, y] = meshgrid([tensor([1, 2]), tensor([3, 4, 5])])
  assert.equal(
    [x.tolist(), y.tolist()],
    [
      [
        [1, 1, 1],
        [2, 2, 2],
      ],
      [
        [3, 4, 5],
        [3, 4, 5],
      ],
    ],
  )
  const [u, v] = meshgrid([tensor([1, 2]), tensor([3, 4, 5])], { indexing: 'xy' })
  assert.equal(
    [u.tolist(), v.tolist()],
    [
      [
        [1, 2],
        [1, 2],
        [1, 2],
      ],
      [
        [3, 3],
        [4, 4],
        [5, 5],
      ],
    ],
  )
})

test('names of dtypes', () => {
  for (const [name, dtype] of [
    ['torch.float32', 'float32'],
    ['float', 'float32'],
    ['long', 'int64'],
    ['half', 'float16'],
    ['fp32', 'float32'],
    ['bf16', 'bfloat16'],
    ['int', 'int32'],
  ])
    assert.is(dtypeOf(name), dtype)
  assert.throws(() => dtypeOf('constructor'), /Unknown dtype 'constructor'/)
})

test('promotion is PyTorch’s, but for its int16', () => {
  for (const [pair, expected] of Object.entries(golden.promotion)) {
    const [a, b] = pair.split(' ') as [DType, DType]
    // int8 with uint8 is int16 there, which we do not have: int32 holds the same values.
    assert.is(promoteTypes(a, b), expected === 'int16' ? 'int32' : expected, pair)
  }
  assert.is(Object.keys(golden.promotion).length, 64)
})

test('all 65,536 float16 and bfloat16 come back as they were', () => {
  for (let bits = 0; bits < 65536; bits++) {
    const [half, brain] = [fromFloat16(bits), fromBfloat16(bits)]
    if (Number.isNaN(half)) assert.ok(Number.isNaN(fromFloat16(toFloat16(half))))
    else if (toFloat16(half) !== bits) assert.unreachable(`float16 ${bits}: ${half} became ${toFloat16(half)}`)
    if (Number.isNaN(brain)) assert.ok(Number.isNaN(fromBfloat16(toBfloat16(brain))))
    else if (toBfloat16(brain) !== bits) assert.unreachable(`bfloat16 ${bits}: ${brain} became ${toBfloat16(brain)}`)
  }
})

test('numbers between two of 16 bits go to the nearer, ties to the even one', () => {
  for (const [name, from, to, infinity] of [
    ['float16', fromFloat16, toFloat16, 0x7c00],
    ['bfloat16', fromBfloat16, toBfloat16, 0x7f80],
  ] as const) {
    for (let bits = 0; bits < infinity - 1; bits++) {
      const [low, high] = [from(bits), from(bits + 1)]
      const middle = (low + high) / 2
      const even = bits % 2 ? bits + 1 : bits
      if (to(middle) !== even || to(-middle) !== (even | 0x8000)) assert.unreachable(`${name}: the tie above ${low}`)
      // float32 is as near as bfloat16's conversion looks.
      const step = (high - low) / 256
      if (to(middle - step) !== bits || to(middle + step) !== bits + 1)
        assert.unreachable(`${name}: beside the tie above ${low}`)
    }
  }
  assert.equal(
    [65519.996, 65520, -65520, Infinity, 1e-8, -1e-8, 2 ** -25, 2 ** -25 * 1.0001].map(toFloat16),
    [0x7bff, 0x7c00, 0xfc00, 0x7c00, 0, 0x8000, 0, 1],
  )
  assert.equal([3.4e38, 3.4028235e38, -Infinity, 1e-45].map(toBfloat16), [0x7f80, 0x7f80, 0xff80, 0])
})

test.run()
