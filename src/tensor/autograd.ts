// Reverse mode. There is no global tape: a node hangs off the outputs of its op and owns what the op saved.
import { checkOptions, RushlightError, ShapeError } from '../util/errors.ts'
import { currentScope, keep, refusePromise, type Scope, tidy } from './scope.ts'
import { sameShape, show } from './shape.ts'
import type { Storage } from './storage.ts'
import { Tensor } from './tensor.ts'
import type { DType } from './dtype.ts'
import type { Shape } from './shape.ts'

/** Gradients of an op's tensor inputs, in order, from those of its outputs; null for none. */
export type Backward = (grads: Tensor[], saved: Tensor[], needs: boolean[]) => (Tensor | null | undefined)[]

/** Sees the gradient of a tensor; a returned tensor replaces it. */
export type Hook = (grad: Tensor) => Tensor | null | undefined | void

let recording = true
/** Whether recording was asked for by name, by enable_grad: then models in eval mode record too. */
let explicit = false

/** Whether operations are being recorded. */
export function is_grad_enabled(): boolean {
  return recording
}

/** @internal Whether recording is on because enable_grad said so. */
export function isGradRequested(): boolean {
  return recording && explicit
}

function withRecording<R>(value: boolean, name: string, fn: () => R): R {
  const wasRecording = recording
  const wasExplicit = explicit
  recording = value
  explicit = value
  try {
    const result = fn()
    refusePromise(name, 'the mode', result)
    return result
  } finally {
    recording = wasRecording
    explicit = wasExplicit
  }
}

/** Runs `fn` without recording. Returns its result. @throws RushlightError when it returns a promise */
export function no_grad<R>(fn: () => R): R {
  return withRecording(false, 'no_grad', fn)
}

/** Runs `fn` with recording, inside no_grad or on a model in eval mode. @throws RushlightError when it returns a promise */
export function enable_grad<R>(fn: () => R): R {
  return withRecording(true, 'enable_grad', fn)
}

/** A tensor kept for backward: holds the storage, not the tensor, and remembers its version. */
interface Saved {
  storage: Storage
  version: number
  shape: Shape
  strides: Shape
  offset: number
  dtype: DType
}

interface OutputInfo {
  shape: Shape
  dtype: DType
}

/** One recorded operation. Held by its outputs and by the nodes made from them. */
export class GradNode {
  private refs = 0
  private saved: Saved[]
  private freed = false
  private readonly hooks = new Map<number, Set<Hook>>()
  /** Where the gradient of each input goes: a node's output, a leaf, or nowhere. */
  readonly inputs: (Edge | null)[]

  constructor(
    readonly name: string,
    inputs: Tensor[],
    readonly outputs: OutputInfo[],
    saved: Tensor[],
    private readonly compute: Backward,
  ) {
    this.inputs = inputs.map((t) =>
      t.node ? { node: t.node.retain(), index: t.outputIndex } : t.requires_grad ? { leaf: t } : null,
    )
    this.saved = saved.map((t) => ({
      storage: t.storage.retain(),
      version: t.storage.version,
      shape: t.shape,
      strides: t.strides,
      offset: t.offset,
      dtype: t.dtype,
    }))
  }

  retain(): this {
    this.refs++
    return this
  }

  /** Gives up one reference; the last one frees what was saved, and so on up the graph (a loop, since graphs are deep). */
  release(): void {
    const stack: GradNode[] = [this]
    for (let node = stack.pop(); node; node = stack.pop()) {
      if (--node.refs > 0) continue
      node.freeSaved()
      for (const edge of node.inputs) if (edge && 'node' in edge) stack.push(edge.node)
    }
  }

  hooksOf(index: number): Set<Hook> {
    let hooks = this.hooks.get(index)
    if (!hooks) this.hooks.set(index, (hooks = new Set()))
    return hooks
  }

  /** Gradients of the inputs. Those of outputs that nothing came from are missing: hooks do not see them, and they count as zeros. */
  run(grads: (Tensor | null)[]): (Tensor | null | undefined)[] {
    if (this.freed)
      throw new RushlightError(
        `backward: the graph behind ${this.name} was freed by an earlier backward(). Hint: backward({ retain_graph: true }) the first time`,
      )
    const given = grads.map((grad, i) =>
      grad ? throughHooks(grad, this.hooks.get(i)) : ops.zeros(this.outputs[i].shape, this.outputs[i].dtype),
    )
    const saved = this.saved.map((s) => {
      if (s.storage.version !== s.version)
        throw new RushlightError(
          `backward of ${this.name}: a tensor of shape ${show(s.shape)} that it saved was changed in place afterwards. Hint: clone() it before`,
        )
      return new Tensor(s.storage.retain(), s.shape, s.strides, s.offset, s.dtype)
    })
    return this.compute(
      given,
      saved,
      this.inputs.map((edge) => edge !== null),
    )
  }

  /** Gives up what was saved. What saved nothing may be walked again, as in torch. */
  freeSaved(): void {
    if (this.saved.length === 0) return
    this.freed = true
    for (const { storage } of this.saved) storage.release()
    this.saved = []
  }
}

type Edge = { node: GradNode; index: number } | { leaf: Tensor }

function throughHooks(grad: Tensor, hooks: Iterable<Hook> | null | undefined): Tensor {
  let seen = grad
  if (hooks) for (const hook of [...hooks]) seen = hook(seen) || seen
  return seen
}

/** What to do with the whole gradient of a leaf. `spare` says that nobody else has it: it may be kept. */
type Sink = (leaf: Tensor, grad: Tensor, spare: boolean) => void

// Ops that autograd itself needs; src/ops gives them, since layers import only downwards.
interface Arithmetic {
  add(a: Tensor, b: Tensor): Tensor
  addInPlace(a: Tensor, b: Tensor): void
  zeros(shape: Shape, dtype: DType): Tensor
  ones(shape: Shape, dtype: DType): Tensor
  /** A contiguous copy in that dtype. */
  copy(t: Tensor, dtype: DType): Tensor
}
let ops: Arithmetic
/** @internal */
export function setArithmetic(arithmetic: Arithmetic): void {
  ops = arithmetic
}

/** Nodes from the roots down, each before every node it feeds from. */
function order(roots: GradNode[]): GradNode[] {
  const done = new Set<GradNode>()
  const sorted: GradNode[] = []
  const stack: [GradNode, number][] = []
  for (const root of roots) {
    if (done.has(root)) continue
    done.add(root)
    stack.push([root, 0])
    while (stack.length > 0) {
      const top = stack[stack.length - 1]
      const edge = top[0].inputs[top[1]++]
      if (top[1] > top[0].inputs.length) {
        sorted.push(top[0])
        stack.pop()
      } else if (edge && 'node' in edge && !done.has(edge.node)) {
        done.add(edge.node)
        stack.push([edge.node, 0])
      }
    }
  }
  return sorted.reverse()
}

/** @internal Walks the graph behind `roots`, giving each leaf's gradient to `sink` once. */
export function backward(roots: Tensor[], gradients: (Tensor | null)[], retainGraph: boolean, sink: Sink): void {
  no_grad(() =>
    tidy(() => {
      const scope = currentScope() as Scope
      const firsts = roots.map((root, i) => firstGradient(root, gradients[i]))
      const nodes = order(roots.flatMap((root) => root.node ?? []))
      const pending = new Map<GradNode, (Tensor | null)[]>()
      const leaves = new Map<Tensor, { sum: Tensor | null; awaited: number }>()
      const edges = roots.map(
        (root): Edge => (root.node ? { node: root.node, index: root.outputIndex } : { leaf: root }),
      )
      for (const edge of [...edges, ...nodes.flatMap((node) => node.inputs)]) {
        if (!edge || 'node' in edge) continue
        const entry = leaves.get(edge.leaf)
        if (entry) entry.awaited++
        else leaves.set(edge.leaf, { sum: null, awaited: 1 })
      }

      /** Hands a gradient, or none, along an edge. A leaf's goes on when all have come, so that its hooks see the whole. */
      const deliver = (edge: Edge, grad: Tensor | null) => {
        if ('node' in edge) {
          if (!grad) return
          let slots = pending.get(edge.node)
          if (!slots) pending.set(edge.node, (slots = new Array<Tensor | null>(edge.node.outputs.length).fill(null)))
          slots[edge.index] = plus(slots[edge.index], grad, scope)
          return
        }
        const entry = leaves.get(edge.leaf) as { sum: Tensor | null; awaited: number }
        if (grad) entry.sum = plus(entry.sum, grad, scope)
        const { sum } = entry
        if (--entry.awaited > 0 || !sum) return
        tidy(() => {
          const seen = throughHooks(sum, edge.leaf.leafHooks)
          sink(edge.leaf, seen, seen === sum && sum.scope === scope && sum.storage.exclusive && sum.fillsStorage())
        })
        if (sum.scope === scope) sum.dispose() // else a hook or the leaf kept it
      }

      edges.forEach((edge, i) => void deliver(edge, firsts[i]))
      for (const node of nodes) {
        const grads = pending.get(node)
        pending.delete(node)
        const results = grads ? tidy(() => inputGradients(node, grads)) : []
        for (const grad of grads ?? []) if (grad?.scope === scope) grad.dispose()
        if (!retainGraph) node.freeSaved()
        node.inputs.forEach((edge, i) => {
          if (edge) deliver(edge, results[i] ?? null)
        })
      }
    }),
  )
}

/** What the walk starts from at a root. */
function firstGradient(root: Tensor, given: Tensor | null): Tensor {
  if (root.disposed)
    throw new RushlightError(`backward: a tensor of shape ${show(root.shape)} was used after dispose()`)
  if (!root.requires_grad)
    throw new RushlightError(
      'backward: nothing was recorded for this tensor. Hint: requires_grad on a leaf; a model in eval() records only inside enable_grad(() => …), train() records always',
    )
  if (!given) {
    if (root.numel() !== 1)
      throw new ShapeError(
        `backward: a tensor of shape ${show(root.shape)} needs a gradient of its shape. Hint: backward(gradient), or sum() first`,
      )
    return ops.ones(root.shape, root.dtype)
  }
  if (!sameShape(given.shape, root.shape))
    throw new ShapeError(`backward: the gradient has shape ${show(given.shape)}, expected ${show(root.shape)}`)
  return given.dtype === root.dtype ? given.alias() : ops.copy(given, root.dtype)
}

/** The sum of what has come and what comes, both given up for it; in `scope`. */
function plus(sum: Tensor | null, grad: Tensor, scope: Scope): Tensor {
  let total = grad
  if (sum?.storage.exclusive && sum.scope === scope && sum.is_contiguous()) {
    ops.addInPlace(sum, grad)
    grad.dispose()
    return sum
  }
  if (sum) {
    total = ops.add(sum, grad)
    sum.dispose()
    grad.dispose()
  }
  if (total.scope !== scope) total.moveTo(scope)
  return total
}

/** The gradients that a node hands to its inputs, each a handle of its own: two may be one tensor, or the incoming one. */
function inputGradients(node: GradNode, grads: (Tensor | null)[]): (Tensor | null)[] {
  const results = node.run(grads)
  return node.inputs.map((edge, i) => {
    const result = results[i]
    if (!edge || !result) return null
    const { shape, dtype } = 'node' in edge ? edge.node.outputs[edge.index] : edge.leaf
    if (!sameShape(result.shape, shape))
      throw new ShapeError(
        `backward of ${node.name}: the gradient of input ${i} has shape ${show(result.shape)}, expected ${show(shape)}`,
      )
    return result.dtype === dtype ? result.alias() : ops.copy(result, dtype)
  })
}

/** @internal Adds to a leaf's `.grad`, which the leaf owns. */
export function accumulate(leaf: Tensor, grad: Tensor, spare: boolean): void {
  if (leaf.disposed)
    throw new RushlightError(`backward: a leaf of shape ${show(leaf.shape)} was disposed of before its gradient came`)
  if (leaf.grad) ops.addInPlace(leaf.grad, grad)
  else leaf.grad = keep(spare ? grad : ops.copy(grad, leaf.dtype))
}

/**
 * Gradients of the sum of `outputs` with respect to `inputs`, without touching any `.grad` (torch.autograd.grad).
 * @throws RushlightError for an input that the outputs do not depend on, unless `allow_unused` (then null stands for it)
 */
export function grad(
  outputs: Tensor | Tensor[],
  inputs: Tensor | Tensor[],
  options: { grad_outputs?: Tensor | (Tensor | null)[]; retain_graph?: boolean; allow_unused?: boolean } = {},
): (Tensor | null)[] {
  checkOptions('grad', options, ['grad_outputs', 'retain_graph', 'allow_unused'])
  const list = <T>(x: T | T[]): T[] => (Array.isArray(x) ? x : [x])
  const roots = list(outputs)
  const wanted = list(inputs)
  const given = options.grad_outputs ? list<Tensor | null>(options.grad_outputs) : roots.map(() => null)
  if (given.length !== roots.length)
    throw new RushlightError(`grad: ${given.length} grad_outputs for ${roots.length} outputs`)
  wanted.forEach((input, i) => {
    if (!input.requires_grad)
      throw new RushlightError(`grad: input ${i} does not require gradients. Hint: requires_grad_() before it is used`)
  })
  return tidy(() => {
    const scope = currentScope()
    const found: (Tensor | null)[] = wanted.map(() => null)
    const find = (i: number, g: Tensor) => {
      found[i] = ops.copy(g, wanted[i].dtype)
      found[i]?.moveTo(scope)
    }
    // An input that is not a leaf is watched by a hook on the output that it is.
    const watches = wanted.map((input, i) => (input.node ? input.register_hook((g) => find(i, g)) : null))
    try {
      backward(roots, given, options.retain_graph ?? false, (leaf, g) => {
        wanted.forEach((input, i) => {
          if (input === leaf) find(i, g)
        })
      })
    } finally {
      for (const watch of watches) watch?.remove()
    }
    found.forEach((result, i) => {
      if (!result && !options.allow_unused)
        throw new RushlightError(
          `grad: the outputs do not depend on input ${i}. Hint: { allow_unused: true } gives null for it`,
        )
    })
    return found
  })
}
