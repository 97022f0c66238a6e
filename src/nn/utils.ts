// torch.nn.utils: what is done to the gradients of many parameters at once.
import { no_grad } from '../tensor/autograd.ts'
import { tidy } from '../tensor/scope.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError, unsupported } from '../util/errors.ts'

function gradientsOf(parameters: Tensor | Iterable<Tensor>): Tensor[] {
  return (parameters instanceof Tensor ? [parameters] : [...parameters]).flatMap(({ grad }) => grad ?? [])
}

/**
 * Scales the gradients of all parameters down, in place, where their norm together is above `max_norm`.
 * Returns that norm as it was before (a number, where torch gives a tensor).
 * @throws RushlightError when the norm is not finite and `error_if_nonfinite` is set
 */
export function clip_grad_norm_(
  parameters: Tensor | Iterable<Tensor>,
  max_norm: number,
  norm_type = 2,
  error_if_nonfinite = false,
): number {
  if (!(norm_type > 0)) throw unsupported('clip_grad_norm_', 'norm_type', norm_type, ['numbers above 0', 'Infinity'])
  const grads = gradientsOf(parameters)
  return no_grad(() =>
    tidy(() => {
      const norms = grads.map((grad) => Number(grad.norm(norm_type).item()))
      const norm =
        norm_type === Number.POSITIVE_INFINITY
          ? Math.max(0, ...norms)
          : norms.reduce((sum, x) => sum + x ** norm_type, 0) ** (1 / norm_type)
      if (error_if_nonfinite && !Number.isFinite(norm))
        throw new RushlightError(`clip_grad_norm_: the norm of the gradients is ${norm}`)
      const scale = max_norm / (norm + 1e-6)
      if (!(scale >= 1)) for (const grad of grads) grad.mul_(scale)
      return norm
    }),
  )
}

/** Limits every element of the gradients to [-clip_value, clip_value], in place. */
export function clip_grad_value_(parameters: Tensor | Iterable<Tensor>, clip_value: number): void {
  no_grad(() => {
    for (const grad of gradientsOf(parameters)) grad.clamp_(-clip_value, clip_value)
  })
}
