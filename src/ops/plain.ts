// Methods of Tensor that are no entries of the table: answers in JavaScript, tensors made after this one's dtype, and where(),
// whose tensor comes second.
import type { Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { where } from './compare.ts'
import { empty, full, ones, type TensorOptions, zeros } from './creation.ts'
import { allclose, equal } from './truth.ts'

export interface PlainMethods {
  /** Whether every |this - other| ≤ atol + rtol |other|. */
  allclose(other: Tensor, rtol?: number, atol?: number, equal_nan?: boolean): boolean
  /** Whether shape and elements are the same. */
  equal(other: Tensor): boolean
  /** Elements of this tensor where the condition holds, else of other. */
  where(condition: Tensor, other: Tensor | number): Tensor
  /** A new tensor of this one's dtype, not cleared. */
  new_empty(size: Shape, options?: TensorOptions): Tensor
  /** A new tensor of this one's dtype, filled with a value. */
  new_full(size: Shape, fill_value: number | bigint | boolean, options?: TensorOptions): Tensor
  /** A new tensor of this one's dtype, of zeros. */
  new_zeros(size: Shape, options?: TensorOptions): Tensor
  /** A new tensor of this one's dtype, of ones. */
  new_ones(size: Shape, options?: TensorOptions): Tensor
}

type WithTensor<F> = F extends (...args: infer A) => infer R ? (input: Tensor, ...args: A) => R : never

/** The methods as functions of the tensor. */
export const plainMethods: { [K in keyof PlainMethods]: WithTensor<PlainMethods[K]> } = {
  allclose,
  equal,
  where: (input, condition, other) => where(condition, input, other),
  new_empty: (input, size, options) => empty(size, { dtype: input.dtype, ...options }),
  new_full: (input, size, fill_value, options) => full(size, fill_value, { dtype: input.dtype, ...options }),
  new_zeros: (input, size, options) => zeros(size, { dtype: input.dtype, ...options }),
  new_ones: (input, size, options) => ones(size, { dtype: input.dtype, ...options }),
}
