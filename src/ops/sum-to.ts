// The reverse of broadcasting: what every gradient of a broadcast argument ends with.
import { sameShape, type Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Sums a gradient over the axes that broadcasting repeated. */
export function sumTo(g: Tensor, shape: Shape): Tensor {
  if (sameShape(g.shape, shape)) return g
  const lead = g.ndim - shape.length
  const dims = g.shape.flatMap((size, d) => (d < lead || (shape[d - lead] === 1 && size !== 1) ? [d] : []))
  const summed = dims.length ? g.sum(dims, true) : g
  return summed.reshape(shape)
}
