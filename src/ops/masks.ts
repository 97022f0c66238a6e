// Masks and classes: nonzero, masked_select, one_hot.
import { broadcastShapes, contiguousStrides } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError } from '../util/errors.ts'
import { launch } from '../wasm/index.ts'
import { asContiguous } from './copying.ts'
import { addRows, checkIndex, flatNonzero, prepareIndex, selectRows, summable, zerosOf } from './indices.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'

/** Coordinates of what is not zero: (count, dimensions), int64. */
export const nonzero = defineOp({
  name: 'nonzero',
  params: ['input', 'as_tuple'],
  differentiable: false,
  forward(_, input: Tensor, as_tuple: boolean = false): Tensor {
    if (as_tuple) throw new RushlightError('nonzero: as_tuple: true is not supported. Hint: nonzero().unbind(1)')
    const positions = flatNonzero(input)
    const out = Tensor.empty([positions.numel(), input.ndim], 'int64', 'nonzero')
    const strides = contiguousStrides(input.shape)
    input.shape.forEach((size, d) => {
      const column = out.ptr + 8 * d
      launch('unravel_i64', [positions.ptr, column, strides[d], size, input.ndim], positions.numel(), 1 << 14)
    })
    return out
  },
  ref(input: Nd) {
    const found = [...input.data.keys()].filter((i) => input.data[i] !== 0)
    const strides = contiguousStrides(input.shape)
    const rank = input.shape.length
    const coordinate = (i: number, d: number) => Math.floor(i / strides[d]) % input.shape[d]
    return Nd.of([found.length, rank], (i) => coordinate(found[Math.floor(i / rank)], i % rank), 'int64')
  },
  samples: (s) => [
    [s.mask(3, 5)],
    [s.randint(-1, 2, [2, 3, 4])],
    [s.randint(0, 2, [5000], 'uint8').map((x) => x, 'float32')],
    [s.mask(70, 130)],
    [s.mask(0, 3)],
    [Nd.of([], () => 1)],
    [Nd.of([4], () => 0)],
  ],
  errors: (s) => [[[s.mask(3), true], /nonzero: as_tuple: true is not supported. Hint: nonzero\(\).unbind\(1\)/]],
})

/** The elements at flat int32 positions, as one dimension. */
const takeFlat = defineOp({
  name: 'take_flat',
  params: ['input', 'positions'],
  forward(record, input: Tensor, positions: Tensor): Tensor {
    const shape = input.shape
    const out = selectRows(
      asContiguous(input).alias([input.numel()], [1]),
      0,
      positions,
      [positions.numel()],
      'masked_select',
    )
    return record(out, [positions], ([g], [at]) => {
      const sum = zerosOf(shape, 'float32', 'gradient of masked_select')
      addRows(sum.alias([sum.numel()], [1]), 0, at, summable(g, 'gradient'))
      return [sum]
    })
  },
  ref: (input: Nd) => input,
  samples: () => [],
})

/** The elements where the mask is true, as one dimension. Both broadcast. */
export const masked_select = compose({
  name: 'masked_select',
  params: ['input', 'mask'],
  forward(input: Tensor, mask: Tensor): Tensor {
    if (mask.dtype !== 'bool')
      throw new DTypeError(`masked_select: expected a mask of dtype bool, found ${mask.dtype}. Hint: to('bool')`)
    const shape = broadcastShapes('masked_select', input.shape, mask.shape)
    return takeFlat(input.expand(shape), flatNonzero(mask.expand(shape)))
  },
  ref(input: Nd, mask: Nd) {
    const shape = broadcastShapes('', input.shape, mask.shape)
    const chosen = input.expand(shape).data.filter((_, i) => mask.expand(shape).data[i] !== 0)
    return new Nd([chosen.length], chosen, input.dtype)
  },
  samples: (s) => [
    [s.randn(3, 5), s.mask(3, 5)],
    [s.randn(4, 1), s.mask(3)],
    [s.randint(0, 9, [2, 3]), s.mask(3)],
    [s.randn(3), Nd.of([3], () => 0, 'bool')],
  ],
  errors: (s) => [
    [[s.randn(3), s.randn(3)], /masked_select: expected a mask of dtype bool, found float32/],
    [[s.randn(3), s.mask(2)], /masked_select: shapes/],
  ],
})

/** Ones at the classes' places, else zeros: (…, num_classes), int64. -1 makes as many classes as there are. */
export const one_hot = defineOp({
  name: 'one_hot',
  params: ['input', 'num_classes'],
  differentiable: false,
  forward(_, input: Tensor, num_classes: number = -1): Tensor {
    checkIndex('one_hot', input)
    if (num_classes === -1 && input.numel() === 0)
      throw new RushlightError('one_hot: num_classes cannot be told from no elements')
    const classes = num_classes === -1 ? 1 + Number(input.max().item()) : num_classes
    const index = prepareIndex('one_hot', input, classes)
    const out = zerosOf([...input.shape, classes], 'int64', 'one_hot')
    const ids = index.view1d()
    const view = out.view1d()
    for (let i = 0; i < ids.length; i++) view[i * classes + Number(ids[i])] = 1n
    return out
  },
  ref(input: Nd, num_classes: number = -1) {
    const classes = num_classes === -1 ? 1 + Math.max(...input.data) : num_classes
    return Nd.of([...input.shape, classes], (i) => Number(input.data[Math.floor(i / classes)] === i % classes), 'int64')
  },
  samples: (s) => [
    [s.randint(0, 5, [4])],
    [s.randint(0, 5, [2, 3]), 7],
    [s.randint(0, 5, [0]), 3],
    [s.randint(0, 5, []), 5],
  ],
  errors: () => [
    [[new Nd([2], Float64Array.of(1, 3), 'int64'), 3], /one_hot: index 3 at \[1\] is out of range for size 3/],
    [[new Nd([1], Float64Array.of(-1), 'int64'), 3], /one_hot: index -1/],
  ],
})
