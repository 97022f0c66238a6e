// Reverse mode. There is no global tape: a node hangs off the outputs of its op and owns what the op saved.
import { RushlightError, ShapeError } from '../util/errors.ts'
import { currentScope, keep, tidy } from './scope.ts'
import { show } from './shape.ts'
import { Storage } from './storage.ts'
import { Tensor } from './tensor.ts'
import type { DType } from './dtype.ts'
import type { Shape } from './shape.ts'

/** Gradients of an op's tensor inputs, in order, from those of its outputs; null for none. */
export type Backward = (grads: Tensor[], saved: Tensor[], needs: boolean[]) => (Tensor | null | undefined)[]

/** Sees the gradient of a tensor; a returned tensor replaces it. */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook may return nothing
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
  const before = [recording, explicit]
  recording = value
  explicit = value
  try {
    const result = fn()
    if (result instanceof Promise) {
      result.catch(() => {})
      throw new RushlightError(`${name}: the function returned a promise, and the mode ends at the first await. Hint: compute is synchronous; await outside`)
    }
    return result
  } finally {
    ;[recording, explicit] = before
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
    this.inputs = inputs.map((t) => (t.node ? { node: t.node.retain(), index: t.outputIndex } : t.requires_grad ? { leaf: t } : null))
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

  /** Gradients of the inputs. Missing output gradients count as zeros. */
  run(grads: (Tensor | null)[], zeros: (shape: Shape, dtype: DType) => Tensor): (Tensor | null | undefined)[] {
    if (this.freed)
      throw new RushlightError(
        `backward: the graph behind ${this.name} was freed by an earlier backward(). Hint: backward({ retain_graph: true }) the first time`,
      )
    const given = grads.map((g, i) => {
      let grad = g ?? zeros(this.outputs[i].shape, this.outputs[i].dtype)
      for (const hook of this.hooks.get(i) ?? []) grad = hook(grad) || grad
      return grad
    })
    const saved = this.saved.map((s) => {
      if (s.storage.version !== s.version)
        throw new RushlightError(
          `backward of ${this.name}: a tensor of shape ${show(s.shape)} that it saved was changed in place afterwards. Hint: clone() it before`,
        )
      return new Tensor(s.storage.retain(), s.shape, s.strides, s.offset, s.dtype)
    })
    return this.compute(given, saved, this.inputs.map((edge) => edge !== null))
  }

  freeSaved(): void {
    this.freed = true
    for (const { storage } of this.saved) storage.release()
    this.saved = []
  }
}

type Edge = { node: GradNode; index: number } | { leaf: Tensor }

/** What to do with the gradient of a leaf. Takes over the tensor. */
type Sink = (leaf: Tensor, grad: Tensor) => void

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

/** @internal Walks the graph behind `roots`, giving each leaf's gradient to `sink`. */
export function backward(roots: Tensor[], gradients: (Tensor | null)[], retainGraph: boolean, sink: Sink): void {
  const pending = new Map<GradNode, (Tensor | null)[]>()

  /** Adds to the gradient of a node's output. Takes over the tensor. */
  const collect = (node: GradNode, index: number, grad: Tensor) => {
    let slots = pending.get(node)
    if (!slots) pending.set(node, (slots = new Array<Tensor | null>(node.outputs.length).fill(null)))
    const before = slots[index]
    if (!before) slots[index] = keep(grad)
    else if (before.storage.exclusive && before.is_contiguous()) {
      ops.addInPlace(before, grad)
      grad.dispose()
    } else {
      slots[index] = keep(ops.add(before, grad))
      before.dispose()
      grad.dispose()
    }
  }

  no_grad(() =>
    tidy(() => {
      try {
        roots.forEach((root, i) => {
          if (!root.requires_grad)
            throw new RushlightError(
              'backward: nothing was recorded for this tensor. Hint: requires_grad on a leaf; a model in eval() records only inside enable_grad(() => …), train() records always',
            )
          const given = gradients[i]
          if (!given && root.numel() !== 1)
            throw new ShapeError(`backward: a tensor of shape ${show(root.shape)} needs a gradient of its shape. Hint: backward(gradient), or sum() first`)
          if (given && show(given.shape) !== show(root.shape))
            throw new ShapeError(`backward: the gradient has shape ${show(given.shape)}, expected ${show(root.shape)}`)
          const grad = given ? given.alias() : ops.ones(root.shape, root.dtype)
          if (root.node) collect(root.node, root.outputIndex, grad)
          else sink(root, grad)
        })
        for (const node of order(roots.flatMap((root) => root.node ?? []))) {
          const grads = pending.get(node)
          if (grads) {
            pending.delete(node)
            try {
              tidy(() => runNode(node, grads, collect, sink))
            } finally {
              for (const grad of grads) grad?.dispose()
            }
          }
          if (!retainGraph) node.freeSaved()
        }
      } finally {
        for (const slots of pending.values()) for (const grad of slots) grad?.dispose()
      }
    }),
  )
}

function runNode(node: GradNode, grads: (Tensor | null)[], collect: (n: GradNode, i: number, g: Tensor) => void, sink: Sink): void {
  const results = node.run(grads, ops.zeros)
  node.inputs.forEach((edge, i) => {
    const result = results[i]
    if (!edge || !result) return
    // The same tensor may be the gradient of two inputs, or be the incoming one: each receiver gets a handle of its own.
    const grad = result.alias()
    if ('node' in edge) collect(edge.node, edge.index, grad)
    else {
      let seen = grad
      for (const hook of edge.leaf.leafHooks ?? []) seen = hook(seen) || seen
      sink(edge.leaf, seen)
    }
  })
}

/** @internal Adds to a leaf's `.grad`, which the leaf owns. */
export function accumulate(leaf: Tensor, grad: Tensor): void {
  if (leaf.disposed) throw new RushlightError(`backward: a leaf of shape ${show(leaf.shape)} was disposed of before its gradient came`)
  if (leaf.grad) ops.addInPlace(leaf.grad, grad)
  else leaf.grad = keep(ops.copy(grad, leaf.dtype))
}

/**
 * Gradients of the sum of `outputs` with respect to `inputs`, without touching any `.grad` (torch.autograd.grad).
 * @throws RushlightError for an input that the outputs do not depend on, unless `allow_unused` (then null stands for it)
 */
export function grad(
  outputs: Tensor | Tensor[],
  inputs: Tensor | Tensor[],
  options: { grad_outputs?: Tensor | Tensor[]; retain_graph?: boolean; allow_unused?: boolean } = {},
): (Tensor | null)[] {
  for (const key of Object.keys(options))
    if (!['grad_outputs', 'retain_graph', 'allow_unused'].includes(key))
      throw new RushlightError(`grad: unsupported option ${key}. Supported: grad_outputs, retain_graph, allow_unused`)
  const list = <T>(x: T | T[] | undefined): T[] => (x === undefined ? [] : Array.isArray(x) ? x : [x])
  const wanted = list(inputs)
  const roots = list(outputs)
  const given = list(options.grad_outputs)
  const found = new Map<Tensor, Tensor>()
  const sums: (Tensor | null)[] = wanted.map(() => null)
  // An input that is not a leaf is watched by a hook on the output that it is.
  const watches = wanted.map((input, i) =>
    input.node
      ? input.register_hook((g) => {
          sums[i] = keep(ops.copy(g, input.dtype))
        })
      : null,
  )
  const scope = currentScope()
  try {
    backward(roots, roots.map((_, i) => given[i] ?? null), options.retain_graph ?? false, (leaf, g) => {
      if (!wanted.includes(leaf)) return
      const before = found.get(leaf)
      if (before) ops.addInPlace(before, g)
      else found.set(leaf, keep(ops.copy(g, leaf.dtype)))
    })
  } finally {
    for (const watch of watches) watch?.remove()
  }
  return wanted.map((input, i) => {
    const result = sums[i] ?? found.get(input) ?? null
    if (!result && !options.allow_unused)
      throw new RushlightError(`grad: the outputs do not depend on input ${i}. Hint: { allow_unused: true } gives null for it`)
    result?.moveTo(scope)
    return result
  })
}
