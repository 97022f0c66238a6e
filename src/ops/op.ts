// What an op is, and how it is defined: once, with its gradient, its f64 reference and its samples beside it.
import { GradNode, type Backward, is_grad_enabled, no_grad } from '../tensor/autograd.ts'
import { isFloating } from '../tensor/dtype.ts'
import { tidy } from '../tensor/scope.ts'
import { show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { environment, runtimeInfo } from '../wasm/index.ts'
import type { Nd, Sampler } from './reference.ts'

/**
 * Hands a result over, with what its gradient needs. `saved` tensors come back in `backward(grads, saved, needs)`, which gives
 * one gradient for each tensor among the op's arguments, in order (null for none). Runs without recording.
 */
export type Recorder = <T extends Tensor | Tensor[]>(result: T, saved: Tensor[], backward: Backward) => T

/** Keyword arguments, named as the parameters. */
type Keywords<P extends readonly string[], A extends unknown[]> = {
  [I in Extract<keyof P, `${number}`> as P[I] & string]?: I extends keyof A ? A[I] : never
}
type Prefixes<A extends unknown[]> = A extends [infer F, ...infer R] ? [] | [F, ...Prefixes<R>] : []
type WithKeywords<A extends unknown[], K> =
  Prefixes<Required<A>> extends infer X extends unknown[] ? (X extends unknown[] ? [...X, K] : never) : never

interface Described {
  /** PyTorch's name. */
  name: string
  /**
   * f64 reference: the forward oracle, and what numeric gradients are taken of. Called with the op's arguments, each tensor an Nd.
   * Its parameters are not typed from the op's: telling tensors apart by type here would make Tensor's type, which holds the ops, refer to itself.
   */
  // biome-ignore lint/suspicious/noExplicitAny: see above
  ref: (...args: any[]) => Nd | Nd[]
  /** Argument lists to try, each tensor an Nd: odd sizes first. */
  samples: (s: Sampler) => unknown[][]
  /** Argument lists that must be refused, each with words that the error has. */
  errors?: (s: Sampler) => [args: unknown[], words: RegExp][]
  /** False for what has no gradient (comparisons, argmax …). */
  differentiable?: false
  /** Largest relative error against the reference, where float32 rounding alone is not the measure. */
  tolerance?: number
}

/** An op as the table holds it: callable, with its description. */
export interface Op<A extends unknown[], R, K> {
  (...args: A): R
  (...args: WithKeywords<A, K>): R
  readonly def: OpDescription
}

/** The method that an op becomes: the same call without the tensor it is called on. */
export type Method<T> =
  T extends Op<[Tensor, ...infer A], infer R, infer K> ? { (...args: A): R; (...args: WithKeywords<A, K>): R } : never
/** The methods that a namespace of ops gives to Tensor. */
export type Methods<T> = { [K in keyof T as T[K] extends { readonly def: OpDescription } ? K : never]: Method<T[K]> }

/** What the test of the table walks over. */
export interface OpDescription {
  name: string
  params: readonly string[]
  ref: (...args: never[]) => unknown
  samples: (s: Sampler) => unknown[][]
  errors: (s: Sampler) => [args: unknown[], words: RegExp][]
  differentiable: boolean
  tolerance: number
}

const debug = environment('RUSHLIGHT_DEBUG') === '1'

/**
 * Defines an op that calls kernels. `forward` gets a recorder first and runs without recording, in a scope of its own: what it
 * leaves behind is freed. Params are PyTorch's names in PyTorch's order; any may come by keyword in a last object.
 */
export function defineOp<A extends unknown[], R, const P extends readonly string[]>(
  description: Described & { params: P; forward: (record: Recorder, ...args: A) => R },
): Op<A, R, Keywords<P, A>> {
  const { name, forward } = description
  const differentiable = description.differentiable !== false
  return wrap<A, R, Keywords<P, A>>(description, (args) => {
    if (!is_grad_enabled()) return tidy(() => forward(recordNothing, ...(args as A)))
    const record = differentiable && anyRequiresGrad(args) ? recorder(name, args) : recordNothing
    return no_grad(() => tidy(() => forward(record, ...(args as A))))
  })
}

const recordNothing: Recorder = (result) => result

/** Hangs a node off the results. */
function recorder(name: string, args: unknown[]): Recorder {
  return (result, saved, backward) => {
    const outputs = (Array.isArray(result) ? result : [result]) as Tensor[]
    const infos = outputs.map(({ shape, dtype }) => ({ shape, dtype }))
    const node = new GradNode(name, tensorsIn(args), infos, saved, backward)
    node.retain() // until the outputs hold it
    outputs.forEach((out, i) => {
      if (isFloating(out.dtype)) out.attach(node, i)
    })
    node.release()
    return result
  }
}

/** Defines an op made of other ops, whose gradient is theirs. */
export function compose<A extends unknown[], R, const P extends readonly string[]>(
  description: Described & { params: P; forward: (...args: A) => R },
): Op<A, R, Keywords<P, A>> {
  return wrap<A, R, Keywords<P, A>>(description, (args) => tidy(() => description.forward(...(args as A))))
}

function wrap<A extends unknown[], R, K>(
  description: Described & { params: readonly string[] },
  run: (args: unknown[]) => unknown,
): Op<A, R, K> {
  const { name, params } = description
  const call = (...given: unknown[]) => {
    const args = positional(name, params, given)
    if (!debug) return run(args)
    const started = performance.now()
    const result = run(args)
    const shapes = tensorsIn(args).map((t) => `${t.dtype === 'float32' ? '' : t.dtype}${show(t.shape)}`)
    console.error(
      `${name} ${shapes.join(' ')} ${(performance.now() - started).toFixed(3)} ms, ${runtimeInfo().lastThreads} threads`,
    )
    return result
  }
  const def: OpDescription = {
    name,
    params,
    ref: description.ref as OpDescription['ref'],
    samples: description.samples as OpDescription['samples'],
    errors: description.errors ?? (() => []),
    differentiable: description.differentiable !== false,
    tolerance: description.tolerance ?? 0,
  }
  return Object.assign(call, { def }) as unknown as Op<A, R, K>
}

function anyRequiresGrad(args: unknown[]): boolean {
  for (const x of args) {
    if (x instanceof Tensor) {
      if (x.requires_grad) return true
    } else if (Array.isArray(x)) for (const y of x) if (y instanceof Tensor && y.requires_grad) return true
  }
  return false
}

/** Tensors among the arguments, one level of lists deep, in order. */
function tensorsIn(args: unknown[]): Tensor[] {
  return args.flat(1).filter((x): x is Tensor => x instanceof Tensor)
}

/** @internal Puts a last object of keyword arguments in its places. @throws RushlightError for one that there is not, or given twice */
export function positional(name: string, params: readonly string[], given: unknown[]): unknown[] {
  if (given.length > params.length)
    throw new RushlightError(
      `${name}: ${given.length} arguments given, expected at most ${params.length}: ${params.join(', ')}`,
    )
  const last = given[given.length - 1]
  if (last === null || typeof last !== 'object' || Object.getPrototypeOf(last) !== Object.prototype) return given
  const args = given.slice(0, -1)
  for (const [key, value] of Object.entries(last)) {
    const at = params.indexOf(key)
    if (at < 0) throw new RushlightError(`${name}: unknown argument ${key}. Supported: ${params.join(', ')}`)
    if (at < given.length - 1) throw new RushlightError(`${name}: ${key} is given twice, by place and by name`)
    args[at] = value
  }
  return args
}

/** @throws RushlightError naming op and argument when it is not a tensor */
export function checkTensor(op: string, argument: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor))
    throw new RushlightError(
      `${op}: ${argument} must be a tensor, found ${value === null ? 'null' : typeof value}. Hint: tensor(…)`,
    )
}
