// Questions about whole tensors, answered in JavaScript.
import { show } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { tidy } from '../tensor/scope.ts'
import { isclose } from './compare.ts'

/** Whether two tensors have the same shape and elements. */
export function equal(input: Tensor, other: Tensor): boolean {
  return show(input.shape) === show(other.shape) && tidy(() => input.eq(other).all().item() === 1)
}

/** Whether every |input - other| ≤ atol + rtol |other| (torch.allclose). */
export function allclose(
  input: Tensor,
  other: Tensor,
  rtol: number = 1e-5,
  atol: number = 1e-8,
  equal_nan: boolean = false,
): boolean {
  return tidy(() => isclose(input, other, rtol, atol, equal_nan).all().item() === 1)
}
