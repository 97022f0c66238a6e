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
    if (result instanceof Promise) {
      result.catch(() => {})
      throw new RushlightError('tidy: the function returned a promise, and a scope ends at the first await. Hint: compute is synchronous; await outside')
    }
    escape(result, scope, 0)
    return result
  } finally {
    current = scope.parent
    for (const tensor of scope.tensors) if (tensor.scope === scope) tensor.dispose()
  }
}

/** Moves the tensors found in `value` out of `scope`. */
function escape(value: unknown, scope: Scope, depth: number): void {
  if (value === null || typeof value !== 'object' || depth > 8) return
  if (value instanceof Tensor) {
    if (value.scope === scope) value.moveTo(scope.parent)
  } else if (Array.isArray(value) || value instanceof Map || value instanceof Set) {
    for (const item of value.values()) escape(item, scope, depth + 1)
  } else if (!ArrayBuffer.isView(value)) {
    for (const key of Object.keys(value)) escape((value as Record<string, unknown>)[key], scope, depth + 1)
  }
}

/** Takes a tensor out of every scope: it lives until dispose(), or until the garbage collector finds it. Returns it. */
export function keep<T extends Tensor>(tensor: T): T {
  tensor.moveTo(null)
  return tensor
}
