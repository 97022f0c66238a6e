// Random tensors: streams that can be repeated, ranges, and distributions far from chance.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/ops/index.ts'
import { dropout } from '../../src/ops/sampling.ts'
import { Generator, initial_seed, manual_seed } from '../../src/ops/generator.ts'
import { normal, rand, randint, randn, randn_like, randomSeed, randperm } from '../../src/ops/random.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { Tensor } from '../../src/tensor/tensor.ts'
import { init, memory } from '../../src/runtime.ts'

const flat = (t: Tensor): number[] => [t.tolist()].flat(Number.POSITIVE_INFINITY).map(Number)

/** Mean, variance, third and fourth moment of the standardized numbers. */
function moments(x: number[]): { mean: number; variance: number; skew: number; kurtosis: number } {
  const mean = x.reduce((a, b) => a + b, 0) / x.length
  const power = (p: number) => x.reduce((a, b) => a + (b - mean) ** p, 0) / x.length
  const variance = power(2)
  return { mean, variance, skew: power(3) / variance ** 1.5, kurtosis: power(4) / variance ** 2 }
}

test('manual_seed starts the default stream again', () => {
  tidy(() => {
    const draw = () => [rand([5]), randn([5]), randint(10, [5]), randperm(6), dropout(rand([8]), 0.5)].map(flat)
    assert.is(manual_seed(7).initial_seed(), 7)
    const first = draw()
    const more = draw()
    assert.is(initial_seed(), 7)
    manual_seed(7)
    assert.equal(draw(), first)
    assert.not.equal(more, first)
    manual_seed(8)
    assert.not.equal(draw(), first)
    manual_seed(7)
    const seed = randomSeed()
    manual_seed(7)
    assert.is(randomSeed(), seed)
    assert.ok(Number.isSafeInteger(seed) && seed >= 0)
  })
})

test('a generator is a stream of its own, which can be put down and taken up', () => {
  tidy(() => {
    const generator = new Generator(3)
    randn([100], { generator })
    const state = generator.get_state()
    const next = flat(randn([7], { generator }))
    assert.equal(flat(randn([7], { generator: new Generator().set_state(state) })), next)
    assert.equal(flat(randn([9], { generator: 3 })), flat(randn([9], { generator: new Generator(3) })))
    manual_seed(1)
    const expected = flat(rand([3]))
    manual_seed(1)
    randn([100], { generator })
    assert.equal(flat(rand([3])), expected)
    assert.throws(() => manual_seed(-1), /manual_seed: expected a whole number from 0 to 2\^53 - 1, found -1/)
    assert.throws(() => new Generator(0.5), /found 0.5/)
  })
})

test('the stream is the same for any number of threads, in both builds', async () => {
  const seen: number[][] = []
  for (const options of [{ threads: 1 }, { threads: 2 }, { threads: 2, wasm: 'simd' as const }]) {
    await init(options)
    tidy(() => seen.push([...flat(randn([40_003], { generator: 11 })), ...flat(rand([20_000], { generator: 12 }))]))
  }
  assert.equal(seen[1], seen[0])
  assert.equal(seen[2], seen[0])
  assert.is(memory().used, 0)
})

test('rand is uniform in [0, 1), randn is normal', () => {
  tidy(() => {
    const u = flat(rand([1 << 17], { generator: 1 }))
    assert.ok(u.every((x) => x >= 0 && x < 1))
    const tenths = new Array<number>(10).fill(0)
    for (const x of u) tenths[Math.floor(x * 10)]++
    for (const count of tenths) assert.ok(Math.abs(count / u.length - 0.1) < 0.005, `${tenths}`)
    const z = moments(flat(randn([1 << 17], { generator: 2 })))
    assert.ok(Math.abs(z.mean) < 0.015 && Math.abs(z.variance - 1) < 0.02, JSON.stringify(z))
    assert.ok(Math.abs(z.skew) < 0.04 && Math.abs(z.kurtosis - 3) < 0.1, JSON.stringify(z))
    const shifted = moments(flat(normal(5, 0.1, [1 << 14], { generator: 3 })))
    assert.ok(Math.abs(shifted.mean - 5) < 0.01 && Math.abs(shifted.variance - 0.01) < 0.001)
    // Neighbours have nothing to do with each other.
    const product = u.slice(1).reduce((sum, x, i) => sum + (x - 0.5) * (u[i] - 0.5), 0) / u.length
    assert.ok(Math.abs(product) < 0.002, `${product}`)
  })
})

test('randint reaches both ends of its range and no further, whatever the dtype', () => {
  tidy(() => {
    for (const dtype of ['int64', 'int32', 'uint8', 'float32']) {
      const t = randint(3, 9, [3, 700], { dtype, generator: 4 })
      assert.is(t.dtype, dtype)
      assert.equal([...new Set(flat(t))].sort(), [3, 4, 5, 6, 7, 8])
    }
    const wide = flat(randint(-(2 ** 51), 2 ** 51, [1000], { generator: 5 }))
    assert.ok(wide.every((x) => x >= -(2 ** 51) && x < 2 ** 51))
    assert.ok(Math.max(...wide) > 2 ** 50 && Math.min(...wide) < -(2 ** 50))
    assert.throws(() => randint(3, 3, [1]), /randint: expected whole numbers with low below high, found 3 and 3/)
  })
})

test('randperm holds each number once; options are checked', () => {
  tidy(() => {
    const order = flat(randperm(1000, { generator: 6 }))
    assert.equal(
      [...order].sort((a, b) => a - b),
      [...order.keys()],
    )
    assert.ok(order.filter((x, i) => x === i).length < 10)
    assert.equal(randperm(0).shape, [0])
    const half = randn_like(Tensor.from([1, 2], [2], 'float16'))
    assert.is(half.dtype, 'float16')
    assert.ok(randn([2], { requires_grad: true }).requires_grad)
    assert.throws(
      () => rand([2], { seed: 1 } as never),
      /rand: unsupported option seed. Supported: dtype, requires_grad, device, generator/,
    )
    assert.throws(() => rand([2], { dtype: 'int64' }), /rand: expected a floating dtype, found int64/)
  })
})

test('dropout keeps its share and makes the same mask for the gradient', () => {
  tidy(() => {
    const x = Tensor.from(new Float32Array(1 << 16).fill(2), [1 << 16]).requires_grad_()
    const y = dropout(x, 0.3, true, false, 9)
    const out = flat(y)
    const kept = out.filter((v) => v !== 0)
    assert.ok(Math.abs(kept.length / out.length - 0.7) < 0.01)
    assert.ok(kept.every((v) => v === Math.fround(2 * Math.fround(1 / 0.7))))
    y.sum().backward()
    const grad = flat(x.grad as Tensor)
    assert.ok(grad.every((g, i) => (g !== 0) === (out[i] !== 0)))
  })
})

test.run()
