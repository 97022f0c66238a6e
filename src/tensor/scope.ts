// Scopes give memory back: every tensor made inside one is disposed of at its end, but for those that escape in its result.
// They are synchronous, as all compute is.
import { RushlightError } from '../util/errors.ts'
import { Tensor } from './tensor.ts'

/** Tensors that were made in it and still belong to it. */
export interface Scope {
  tensors: Tensor[]
  parent: Scope | null
}

let current: Scope | null = null

/** The scope that new tensors belong to, or null outside all. */
export function currentScope(): Scope | null {
  return current
}

/**
 * Runs `fn` and frees every tensor made in it that is not in its result. Tensors in returned arrays, maps and objects escape
 * to the scope around, or become loose.
 * @throws RushlightError when `fn` returns a promise: the scope would end at its first await
 */
export function tidy<R>(fn: () => R): R {
  const scope: Scope = { tensors: [], parent: current }
  current = scope
  try {
    const result = fn()
    if (result instanceof Tensor) {
      if (result.scope === scope) result.moveTo(scope.parent)
    } else if (typeof result === 'object' && result !== null) {
      refusePromise('tidy', 'a scope', result)
      escape(result, scope, new Set())
    }
    return result
  } finally {
    current = scope.parent
    for (const tensor of scope.tensors) if (tensor.scope === scope) tensor.dispose()
  }
}

/** @internal @throws RushlightError for a promise, since `what` (a scope, a mode) is over when its function first awaits */
export function refusePromise(name: string, what: string, result: unknown): void {
  if (!(result instanceof Promise)) return
  result.catch(() => {}) // this error is the one to see
  throw new RushlightError(
    `${name}: the function returned a promise, and ${what} ends at the first await. Hint: compute is synchronous; await outside`,
  )
}

/** Moves the tensors found in `value` out of `scope`; objects may refer to each other in circles. */
function escape(value: unknown, scope: Scope, seen: Set<object>): void {
  if (value === null || typeof value !== 'object') return
  if (value instanceof Tensor) {
    if (value.scope === scope) value.moveTo(scope.parent)
    return
  }
  if (ArrayBuffer.isView(value) || seen.has(value)) return
  seen.add(value)
  const items = Array.isArray(value) || value instanceof Map || value instanceof Set ? value : Object.values(value)
  for (const item of items.values()) escape(item, scope, seen)
}

/** Takes a tensor out of every scope: it lives until dispose(), or until the garbage collector finds it. Returns it. */
export function keep<T extends Tensor>(tensor: T): T {
  tensor.moveTo(null)
  return tensor
}
