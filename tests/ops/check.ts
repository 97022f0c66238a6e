// One op against its description: forward against the f64 reference, gradients against numeric ones, views, keywords, errors, leaks.
import * as assert from 'uvu/assert'
import { isFloating } from '../../src/tensor/dtype.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { numelOf, show } from '../../src/tensor/shape.ts'
import { liveTensors, Tensor } from '../../src/tensor/tensor.ts'
import type { OpDescription } from '../../src/ops/op.ts'
import { Nd, Sampler } from '../../src/ops/reference.ts'
import { heapUsage } from '../../src/wasm/index.ts'

type AnyOp = ((...args: unknown[]) => Tensor | Tensor[]) & { def: OpDescription }

const FORWARD = 2e-5 // relative to max(1, |expected|)
const GRADIENT = 3e-4
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

function compare(what: string, actual: number[], expected: ArrayLike<number>, tolerance: number): void {
  assert.is(actual.length, expected.length, `${what}: number of elements`)
  for (let i = 0; i < actual.length; i++) {
    const [a, e] = [actual[i], expected[i]]
    if (Object.is(a, e) || a === e || (Number.isNaN(a) && Number.isNaN(e))) continue
    const error = Math.abs(a - e) / Math.max(1, Math.abs(e))
    if (!(error <= tolerance))
      assert.unreachable(
        `${what}: element ${i} is ${a}, expected ${e} (error ${error.toExponential(2)}, allowed ${tolerance})`,
      )
  }
}

function checkResult(what: string, result: Tensor | Tensor[], expected: Nd | Nd[], tolerance: number): void {
  const [got, want] = [list(result), list(expected)]
  assert.is(got.length, want.length, `${what}: number of results`)
  got.forEach((t, i) => {
    assert.is(show(t.shape), show(want[i].shape), `${what}: shape of result ${i}`)
    assert.is(t.dtype, want[i].dtype, `${what}: dtype of result ${i}`)
    // 16-bit results are rounded to 8 or 11 bits.
    const rounding = t.dtype === 'bfloat16' ? 2 ** -7 : t.dtype === 'float16' ? 2 ** -10 : 0
    compare(`${what}, result ${i}`, numbers(t), want[i].data, Math.max(tolerance, rounding))
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

/** Forward and gradients of one sample, with floating inputs recorded. Returns the bytes of all of them. */
function checkSample(op: AnyOp, args: unknown[], what: string, make: (nd: Nd) => Tensor): string[] {
  const { def } = op
  const ref = def.ref as (...a: unknown[]) => Nd | Nd[]
  const expected = ref(...args)
  const inputs: { nd: Nd; tensor: Tensor }[] = []
  const tensors = mapNd(args, (nd) => {
    const tensor = make(nd)
    inputs.push({ nd, tensor })
    return tensor
  }) as unknown[]
  const result = op(...tensors)
  checkResult(what, result, expected, Math.max(FORWARD, def.tolerance))
  const bytes = list(result).map(bytesOf)
  for (const out of list(result))
    assert.not.ok(
      inputs.some((i) => i.tensor === out) &&
        !def.name.match(/^(contiguous|to|float|half|long|int|bool|bfloat16|broadcast_tensors|detach_|type_as|.*_)$/),
      `${what}: returned an input itself`,
    )

  const wanted = inputs.filter(({ nd }) => nd.dtype === 'float32')
  const floating = list(expected).some((e) => isFloating(e.dtype) && numelOf(e.shape) > 0)
  if (!def.differentiable || wanted.length === 0 || !floating || def.name.endsWith('_')) return bytes

  for (const { tensor } of wanted) tensor.requires_grad_()
  const recorded = list(op(...tensors))
  recorded.forEach(
    (out, i) => isFloating(out.dtype) && assert.ok(out.requires_grad, `${what}: result ${i} was not recorded`),
  )
  const sampler = new Sampler(77)
  const weights = list(expected).map((e) => sampler.uniform(-1, 1, ...e.shape).data)
  recorded.forEach((out, i) => {
    if (isFloating(out.dtype)) out.backward(Tensor.from(weights[i], out.shape, out.dtype), i < recorded.length - 1)
  })
  wanted.forEach(({ nd, tensor }, which) => {
    const n = nd.data.length
    const probes =
      n <= PROBES
        ? Array.from({ length: n }, (_, i) => i)
        : Array.from({ length: PROBES }, () => Math.floor(sampler.next() * n))
    const analytic = tensor.grad ? numbers(tensor.grad) : new Array<number>(n).fill(0)
    if (tensor.grad) bytes.push(bytesOf(tensor.grad))
    for (const at of probes) {
      const x = nd.data[at]
      const h = 1e-5 * Math.max(1, Math.abs(x))
      nd.data[at] = x + h
      const up = weighted(ref(...args), weights)
      nd.data[at] = x - h
      const down = weighted(ref(...args), weights)
      nd.data[at] = x
      const numeric = (up - down) / (2 * h)
      compare(
        `${what}, gradient of input ${which} at ${at}`,
        [analytic[at]],
        [numeric],
        Math.max(GRADIENT, def.tolerance),
      )
    }
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
    tidy(() => void all.push(...checkSample(op, args, what, toTensor)))
    leakFree(what)
    if (!views) return
    tidy(() => void checkSample(op, args, `${what} (views)`, toView))
    leakFree(`${what} (views)`)
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
