// One op against its description: forward against the f64 reference, gradients against numeric ones, views, keywords, errors, leaks.
import * as assert from 'uvu/assert'
import { type DType, isFloating } from '../../src/tensor/dtype.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { contiguousStrides, numelOf, show } from '../../src/tensor/shape.ts'
import { liveTensors, Tensor } from '../../src/tensor/tensor.ts'
import type { OpDescription } from '../../src/ops/op.ts'
import { Nd, Sampler } from '../../src/ops/reference.ts'
import { alloc, free, heapUsage, u8View } from '../../src/wasm/index.ts'

type AnyOp = ((...args: unknown[]) => Tensor | Tensor[]) & { def: OpDescription }

const FORWARD = 1e-5 // relative: see compare
const GRADIENT = 3e-5
const LEAST = 1e-3 // results that are all smaller are compared as if they were of this size
const PROBES = 24 // elements of an input whose numeric gradient is taken

/** Replaces every Nd in an argument list, inside lists and option objects too. */
function mapNd(value: unknown, fn: (nd: Nd) => unknown): unknown {
  if (value instanceof Nd) return fn(value)
  if (Array.isArray(value)) return value.map((v) => mapNd(v, fn))
  if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype)
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, mapNd(v, fn)]))
  return value
}

function toTensor(nd: Nd): Tensor {
  return Tensor.from(nd.data, nd.shape, nd.dtype)
}

/** The same elements in order, but neither first in their storage nor aligned. */
function toPart(nd: Nd): Tensor {
  const storage = new Float64Array(nd.data.length + 3).fill(1)
  storage.set(nd.data, 1)
  return Tensor.from(storage, [storage.length], nd.dtype).alias(nd.shape, contiguousStrides(nd.shape), 1)
}

/** The same elements behind strides that no kernel can take for contiguous. */
function toView(nd: Nd): Tensor {
  if (numelOf(nd.shape) === 0) return toTensor(nd)
  // A row of padding after each axis' elements, axes in reverse order, one element of offset.
  const order = nd.shape.map((_, d) => d).reverse()
  const sizes = order.map((d) => nd.shape[d] + (d === order[order.length - 1] ? 1 : 0))
  const strides = new Array<number>(nd.shape.length)
  let step = nd.shape.length === 1 ? 2 : 1
  for (let i = order.length - 1; i >= 0; i--) {
    strides[order[i]] = step
    step *= sizes[i]
  }
  const storage = new Float64Array(step + 1)
  const walk = (dim: number, from: number, at: number): number => {
    if (dim === nd.shape.length) {
      storage[at] = nd.data[from]
      return from + 1
    }
    for (let i = 0; i < nd.shape[dim]; i++) from = walk(dim + 1, from, at + i * strides[dim])
    return from
  }
  walk(0, 0, 1)
  const whole = Tensor.from(storage, [storage.length], nd.dtype)
  return whole.alias(nd.shape, strides, 1)
}

const list = <T>(x: T | T[]): T[] => (Array.isArray(x) ? x : [x])

/** Elements as numbers, whatever the dtype. */
function numbers(t: Tensor): number[] {
  return [t.tolist()].flat(Number.POSITIVE_INFINITY).map(Number)
}

/** Size of the usual element: what an error is large or small against, so that small results are checked as closely as large ones. */
function scaleOf(values: ArrayLike<number>): number {
  let [sum, n] = [0, 0]
  for (let i = 0; i < values.length; i++)
    if (Number.isFinite(values[i])) {
      sum += values[i] ** 2
      n++
    }
  return n === 0 ? 1 : Math.min(1, Math.sqrt(sum / n))
}

/** Each element within `tolerance` of the expected one, relative to that or to the usual one, whichever is larger. */
function compare(what: string, actual: number[], expected: ArrayLike<number>, tolerance: number): void {
  assert.is(actual.length, expected.length, `${what}: number of elements`)
  const scale = Math.max(scaleOf(expected), LEAST)
  for (let i = 0; i < actual.length; i++) {
    const [a, e] = [actual[i], expected[i]]
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue
    const error = Math.abs(a - e) / Math.max(scale, Math.abs(e))
    if (!(error <= tolerance))
      assert.unreachable(
        `${what}: element ${i} is ${a}, expected ${e} (error ${error.toExponential(2)}, allowed ${tolerance})`,
      )
  }
}

/** How far a correctly rounded number of that dtype may be from the exact one, relative to it. */
function roundingOf(dtype: DType): number {
  return dtype === 'bfloat16' ? 2 ** -8 : dtype === 'float16' ? 2 ** -11 : 0
}

function checkResult(what: string, result: Tensor | Tensor[], expected: Nd | Nd[], tolerance: number): void {
  const [got, want] = [list(result), list(expected)]
  assert.is(got.length, want.length, `${what}: number of results`)
  got.forEach((t, i) => {
    assert.is(show(t.shape), show(want[i].shape), `${what}: shape of result ${i}`)
    assert.is(t.dtype, want[i].dtype, `${what}: dtype of result ${i}`)
    const allowed = isFloating(t.dtype) ? Math.max(tolerance, 2 * roundingOf(t.dtype)) : 0
    compare(`${what}, result ${i}`, numbers(t), want[i].data, allowed)
  })
}

/** Sum of ref's floating results weighted by fixed numbers: what numeric gradients are taken of. */
function weighted(results: Nd | Nd[], weights: Float64Array[]): number {
  let sum = 0
  list(results).forEach((r, i) => {
    if (isFloating(r.dtype)) for (let j = 0; j < r.data.length; j++) sum += r.data[j] * weights[i][j]
  })
  return sum
}

function bytesOf(t: Tensor): string {
  const { data } = t
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')
}

/** Fills free memory with ones (NaN, -1), so that an element which a kernel does not write, or reads past the end, shows. */
function poison(): void {
  const blocks: number[] = []
  for (let bytes = 64; bytes <= 1 << 15; bytes = Math.ceil((bytes * 1.2) / 64) * 64)
    for (let i = 0; i < 6; i++) {
      blocks.push(alloc(bytes))
      u8View(blocks[blocks.length - 1], bytes).fill(255)
    }
  for (const bytes of [1 << 16, 1 << 18, 1 << 20]) {
    blocks.push(alloc(bytes))
    u8View(blocks[blocks.length - 1], bytes).fill(255)
  }
  for (const ptr of blocks) free(ptr)
}

/** Ops that give back what they are given where there is nothing to do, as PyTorch's. */
const MAY_RETURN_INPUT = /^(contiguous|to|float|half|long|int|bool|bfloat16|type_as)$/

/** Forward and gradients of one sample, with floating inputs recorded. Returns the bytes of all of them. */
function checkSample(op: AnyOp, args: unknown[], what: string, make: (nd: Nd) => Tensor): string[] {
  const { def } = op
  const inPlace = def.name.endsWith('_')
  const ref = def.ref as (...a: unknown[]) => Nd | Nd[]
  const expected = ref(...args)
  const inputs: { nd: Nd; tensor: Tensor }[] = []
  const tensors = mapNd(args, (nd) => {
    const tensor = make(nd)
    inputs.push({ nd, tensor })
    return tensor
  }) as unknown[]
  const untouched = inputs.slice(inPlace ? 1 : 0)
  const before = untouched.map(({ tensor }) => bytesOf(tensor))
  const unchanged = () => {
    untouched.forEach(({ tensor }, i) => void assert.is(bytesOf(tensor), before[i], `${what}: input ${i} was changed`))
  }
  const result = op(...tensors)
  checkResult(what, result, expected, Math.max(FORWARD, def.tolerance))
  unchanged()
  const bytes = list(result).map(bytesOf)
  if (!inPlace && !MAY_RETURN_INPUT.test(def.name))
    for (const out of list(result))
      assert.not.ok(
        inputs.some((i) => i.tensor === out),
        `${what}: returned an input itself`,
      )

  const wanted = inputs.filter(({ nd }) => isFloating(nd.dtype))
  if (wanted.length === 0 || inPlace) return bytes
  for (const { tensor } of wanted) tensor.requires_grad_()
  const recorded = list(op(...tensors))
  recorded.forEach((out, i) => {
    assert.is(
      out.requires_grad,
      def.differentiable && isFloating(out.dtype),
      `${what}: whether result ${i} was recorded`,
    )
    assert.is(bytesOf(out), bytes[i], `${what}: result ${i} differs when recorded`)
  })
  if (!recorded.some((out) => out.requires_grad)) return bytes

  const sampler = new Sampler(77)
  const weights = list(expected).map((e) => sampler.uniform(-1, 1, ...e.shape).data)
  // 16-bit gradients start from what 16 bits hold.
  const starts = recorded.map((out, i) => (out.requires_grad ? Tensor.from(weights[i], out.shape, out.dtype) : null))
  starts.forEach((start, i) => {
    if (!start) return
    weights[i] = Float64Array.from(numbers(start))
    recorded[i].backward(start, i < recorded.length - 1)
  })
  unchanged()
  const results16 = recorded.map((out) => roundingOf(out.dtype))
  wanted.forEach(({ nd, tensor }, which) => {
    const n = nd.data.length
    const short = nd.dtype !== 'float32'
    if (short && !tensor.grad) return // an argument without a gradient, which samples give in 16 bits
    let probes =
      n <= PROBES
        ? Array.from({ length: n }, (_, i) => i)
        : Array.from({ length: PROBES }, () => Math.floor(sampler.next() * n))
    const analytic = tensor.grad ? numbers(tensor.grad) : new Array<number>(n).fill(0)
    if (tensor.grad) {
      assert.is(show(tensor.grad.shape), show(nd.shape), `${what}: shape of gradient ${which}`)
      bytes.push(bytesOf(tensor.grad))
    }
    const slopes = probes.map((at) => {
      const x = nd.data[at]
      const h = 1e-5 * Math.max(1, Math.abs(x))
      const [down, here, up] = [x - h, x, x + h].map((moved) => {
        nd.data[at] = moved
        return weighted(ref(...args), weights)
      })
      nd.data[at] = x
      return { numeric: (up - down) / (2 * h), bend: Math.abs(up + down - 2 * here) / h }
    })
    // 16-bit samples have few different numbers, some of them at the corners of functions, where there is no gradient.
    const smooth = slopes.map(
      ({ numeric, bend }) => !short || (bend <= 1e-3 * Math.max(1, Math.abs(numeric)) && Math.abs(numeric) < 1e3),
    )
    probes = probes.filter((_, i) => smooth[i])
    const numeric = slopes.filter((_, i) => smooth[i]).map((slope) => slope.numeric)
    const rounding = 4 * Math.max(roundingOf(nd.dtype), ...results16)
    compare(
      `${what}, gradient of input ${which} at ${probes}`,
      probes.map((at) => analytic[at]),
      numeric,
      Math.max(GRADIENT, def.tolerance, rounding),
    )
  })
  return bytes
}

/** Everything about one op. Returns a digest of all result bytes, the same for any number of threads. */
export function checkOp(op: AnyOp, views: boolean): string {
  const { def } = op
  const all: string[] = []
  const used = heapUsage().used
  const tensors = liveTensors()
  const leakFree = (what: string) => {
    assert.is(heapUsage().used - used, 0, `${what}: bytes left behind`)
    assert.is(liveTensors() - tensors, 0, `${what}: tensors left behind`)
  }
  const samples = def.samples(new Sampler())
  assert.ok(samples.length > 0, `${def.name} has no samples`)
  samples.forEach((args, i) => {
    const what = `${def.name} sample ${i} ${args.map((a) => (a instanceof Nd ? show(a.shape) : JSON.stringify(a instanceof Array ? a.map((x) => (x instanceof Nd ? show(x.shape) : x)) : a))).join(' ')}`
    poison()
    tidy(() => void all.push(...checkSample(op, args, what, toTensor)))
    leakFree(what)
    if (!views) return
    tidy(() => void checkSample(op, args, `${what} (views)`, toView))
    leakFree(`${what} (views)`)
    tidy(() => void checkSample(op, args, `${what} (offsets)`, toPart))
    leakFree(`${what} (offsets)`)
    const last = args.length - 1
    if (
      last > 0 &&
      !(args[last] instanceof Nd) &&
      (args[last] === null || typeof args[last] !== 'object' || Array.isArray(args[last]))
    ) {
      tidy(() => {
        const tensors = mapNd(args, toTensor) as unknown[]
        const named = [...tensors.slice(0, last), { [def.params[last]]: tensors[last] }]
        checkResult(
          `${what} (keyword)`,
          op(...named),
          (def.ref as (...a: unknown[]) => Nd | Nd[])(...args),
          Math.max(FORWARD, def.tolerance),
        )
      })
      leakFree(`${what} (keyword)`)
    }
  })
  if (views)
    def.errors(new Sampler()).forEach(([args, words], i) => {
      const what = `${def.name} error sample ${i}`
      tidy(() => {
        const tensors = mapNd(args, toTensor) as unknown[]
        assert.throws(() => void op(...tensors), words, what)
      })
      leakFree(what)
    })
  return all.join()
}
