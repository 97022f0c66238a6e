// How exact the elementary functions are, in units in the last place, over their whole range, in both builds; casts bit by bit.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { tensor } from '../../src/ops/creation.ts'
import '../../src/ops/index.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../../src/tensor/half.ts'
import { Tensor } from '../../src/tensor/tensor.ts'
import { init } from '../../src/wasm/index.ts'

const N = 20_000
const LEAST_NORMAL = 2 ** -126

/** Evenly spaced numbers, or with `geometric` numbers whose exponents are. */
function range(low: number, high: number, geometric = false): Float32Array {
  return Float32Array.from({ length: N }, (_, i) =>
    geometric ? low * (high / low) ** (i / N) : low + ((high - low) * i) / N,
  )
}

const near = [range(-1, 1), range(1e-30, 1, true), range(-1, -1e-30, true)]
const angles = [range(-10, 10), range(-1e4, 1e4), range(1e5, 1e9, true), range(1e9, 3e38, true), ...near]

interface Case {
  fn: (x: Tensor) => Tensor
  ref: (x: number) => number
  inputs: Float32Array[]
  ulps: number
  /** Results smaller than this may be 0. */
  flushes?: number
}

const cases: Record<string, Case> = {
  exp: { fn: (x) => x.exp(), ref: Math.exp, inputs: [range(-100, 89), ...near], ulps: 1.2, flushes: 2e-38 },
  exp2: { fn: (x) => x.exp2(), ref: (x) => 2 ** x, inputs: [range(-140, 128), ...near], ulps: 1.2, flushes: 2e-38 },
  expm1: { fn: (x) => x.expm1(), ref: Math.expm1, inputs: [range(-100, 88), ...near], ulps: 2 },
  log: { fn: (x) => x.log(), ref: Math.log, inputs: [range(1e-45, 3e38, true), range(0.5, 2)], ulps: 1 },
  log2: { fn: (x) => x.log2(), ref: Math.log2, inputs: [range(1e-45, 3e38, true), range(0.5, 2)], ulps: 2 },
  log10: { fn: (x) => x.log10(), ref: Math.log10, inputs: [range(1e-45, 3e38, true), range(0.5, 2)], ulps: 2.5 },
  log1p: {
    fn: (x) => x.log1p(),
    ref: Math.log1p,
    inputs: [range(-0.99999, 10), range(1, 3e38, true), ...near],
    ulps: 2,
  },
  sin: { fn: (x) => x.sin(), ref: Math.sin, inputs: angles, ulps: 2 },
  cos: { fn: (x) => x.cos(), ref: Math.cos, inputs: angles, ulps: 2 },
  tan: { fn: (x) => x.tan(), ref: Math.tan, inputs: angles, ulps: 4 },
  tanh: { fn: (x) => x.tanh(), ref: Math.tanh, inputs: [range(-12, 12), ...near], ulps: 6 },
  sigmoid: { fn: (x) => x.sigmoid(), ref: (x) => 1 / (1 + Math.exp(-x)), inputs: [range(-80, 80), ...near], ulps: 3 },
  sqrt: { fn: (x) => x.sqrt(), ref: Math.sqrt, inputs: [range(1e-38, 3e38, true)], ulps: 0.5 },
  pow: { fn: (x) => x.pow(-1.7), ref: (x) => x ** -1.7000000476837158, inputs: [range(1e-20, 1e20, true)], ulps: 0.6 },
}

/** The largest error in units of the last place of the float32 result. */
function worst({ fn, ref, inputs, flushes = 0 }: Case): [ulps: number, at: number] {
  let result: [number, number] = [0, 0]
  for (const input of inputs) {
    const out = tidy(() => fn(Tensor.from(input, [input.length])).data as Float32Array)
    input.forEach((x, i) => {
      const expected = ref(x)
      const rounded = Math.fround(expected)
      if (out[i] === rounded || (out[i] === 0 && Math.abs(expected) < flushes)) return
      const unit = Math.max(2 ** (Math.floor(Math.log2(Math.min(Math.abs(rounded), 3.4e38))) - 23), 2 ** -149)
      const error = Math.abs(out[i] - expected) / unit
      if (!(error <= result[0])) result = [error, x]
    })
  }
  return result
}

const odd = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 0, -1, 3.4e38, -3.4e38, LEAST_NORMAL / 4]

for (const build of ['relaxed', 'simd'] as const) {
  test(`${build}: starts`, () => init({ wasm: build, threads: 1 }))

  for (const [name, one] of Object.entries(cases)) {
    test(`${build}: ${name} is exact to ${one.ulps} units in the last place`, () => {
      const [error, at] = worst(one)
      assert.ok(error <= one.ulps, `${name}(${at}) is off by ${error} units`)
    })
    test(`${build}: ${name} at infinities, NaN and the ends of the range`, () => {
      const out = tidy(() => one.fn(tensor(odd)).data as Float32Array)
      odd.forEach((x, i) => {
        const expected = Math.fround(one.ref(Math.fround(x)))
        const same =
          Object.is(out[i], expected) || out[i] === expected || Math.abs(out[i] - expected) <= 1e-6 * Math.abs(expected)
        assert.ok(same, `${name}(${x}) is ${out[i]}, expected ${expected}`)
      })
    })
  }

  test(`${build}: 16-bit floats, every one of them and back`, () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i)
    for (const [dtype, from, to] of [
      ['float16', fromFloat16, toFloat16],
      ['bfloat16', fromBfloat16, toBfloat16],
    ] as const) {
      tidy(() => {
        const wide = Tensor.from(bits, [65536], dtype).to('float32')
        const values = wide.data as Float32Array
        for (let i = 0; i < 65536; i++) {
          if (!Object.is(values[i], from(i)))
            assert.unreachable(`${dtype} ${i.toString(16)} is ${values[i]}, expected ${from(i)}`)
        }
        const back = wide.to(dtype).data as Uint16Array
        for (let i = 0; i < 65536; i++) {
          if (back[i] !== i && !Number.isNaN(values[i]))
            assert.unreachable(`${dtype} ${i.toString(16)} comes back as ${back[i].toString(16)}`)
        }
        // Halfway between two neighbours, and just beside: to the even one, and to the nearer.
        const between = Float32Array.from({ length: 60_000 }, (_, i) => {
          const at = (i >> 1) + (i & 1 ? 0x8000 : 0)
          return ((from(at) + from(at + 1)) / 2) * (1 + ((i % 3) - 1) * 2 ** -20)
        })
        const rounded = Tensor.from(between, [between.length]).to(dtype).data as Uint16Array
        between.forEach((x, i) => {
          if (rounded[i] !== to(x) && !Number.isNaN(x))
            assert.unreachable(`${x} becomes ${rounded[i].toString(16)}, expected ${to(x).toString(16)}`)
        })
      })
    }
  })

  test(`${build}: sums of many numbers are as exact as their float32 result`, () => {
    for (const shape of [[1_000_003], [3, 100_001], [100_001, 3]]) {
      const n = shape.reduce((a, b) => a * b)
      const values = Float32Array.from({ length: n }, (_, i) => 1 + ((i * 7919) % 1000) / 1000)
      let expected = 0
      for (const x of values) expected += x
      const sum = tidy(() => Tensor.from(values, shape).sum().item())
      assert.ok(Math.abs(sum - expected) <= 2e-7 * expected, `${shape}: ${sum}, expected ${expected}`)
    }
  })
}

test.run()
