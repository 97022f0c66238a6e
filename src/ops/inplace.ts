// Changes in place, under PyTorch's names with a trailing underscore. They are not recorded: under no_grad, or where nothing requires gradients.
import { is_grad_enabled } from '../tensor/autograd.ts'
import { type DType, isFloating } from '../tensor/dtype.ts'
import { broadcastShapes, broadcastStrides, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError } from '../util/errors.ts'
import type { KernelName } from '../wasm/index.ts'
import { copyInto, packed } from './copying.ts'
import { affine, cast, choose, mapF32, operand, resultType, type Scalar, zip } from './elementwise.ts'
import { compose } from './op.ts'
import type { Nd, Sampler } from './reference.ts'

type Operand = Tensor | Scalar

/** @throws RushlightError where the change would have to be recorded */
export function refuseRecording(op: string, ...operands: unknown[]): void {
  if (is_grad_enabled() && operands.some((x) => x instanceof Tensor && x.requires_grad))
    throw new RushlightError(
      `${op}: a tensor that requires gradients is not changed in place. Hint: no_grad(() => …), or ${op.slice(0, -1)}()`,
    )
}

/** Writes elements into a tensor, cast to its dtype and broadcast to its shape. */
function write(op: string, self: Tensor, value: Tensor): void {
  if (value !== self) {
    if (show(broadcastShapes(op, self.shape, value.shape)) !== show(self.shape))
      throw new ShapeError(`${op}: shape ${show(value.shape)} does not broadcast to ${show(self.shape)}`)
    const seen = value.alias(self.shape, broadcastStrides(value.shape, value.strides, self.shape))
    copyInto(self, cast(seen, self.dtype))
  }
  self.storage.version++
}

/** An operand that does not look at the tensor's own memory, lest it change under the kernel; the very tensor itself may. */
function apart(self: Tensor, x: Operand): Operand {
  if (!(x instanceof Tensor) || x.storage !== self.storage) return x
  const identical =
    x.offset === self.offset && show(x.shape) === show(self.shape) && show(x.strides) === show(self.strides)
  return identical ? x : packed(x)
}

/** Whether a kernel may write straight into the tensor. */
function direct(self: Tensor, shape: Shape): boolean {
  return (
    self.dtype === 'float32' &&
    self.is_contiguous() &&
    show(broadcastShapes('', self.shape, shape)) === show(self.shape)
  )
}

/** @throws DTypeError where the result does not fit the tensor's kind */
function checkKind(op: string, self: Tensor, result: DType): void {
  if (isFloating(result) && !isFloating(self.dtype))
    throw new DTypeError(`${op}: a result of ${result} does not fit into ${self.dtype}`)
}

/** self = fn(self, other), by a float32 kernel straight into self where that is possible. */
function update(
  op: string,
  self: Tensor,
  other: Operand,
  kernel: KernelName,
  params: number[],
  fallback: (x: Tensor, y: Operand) => Tensor,
): void {
  checkKind(op, self, op === 'div_' ? 'float32' : resultType(self, other))
  const value = apart(self, other)
  if (direct(self, value instanceof Tensor ? value.shape : [])) {
    const [alpha] = params // of add_scaled
    const line =
      typeof value !== 'number'
        ? null
        : alpha === undefined
          ? affine(op.slice(0, -1), value)
          : affine('add', alpha * value)
    if (line) mapF32('affine_f32', self, line, self)
    else zip(kernel, self, operand(value, 'float32'), 'float32', params, self)
    self.storage.version++
  } else write(op, self, fallback(self, value))
}

interface InPlace<A extends unknown[], P extends readonly string[]> {
  name: string
  params: P
  run: (self: Tensor, ...args: A) => void
  // biome-ignore lint/suspicious/noExplicitAny: as in op.ts
  ref: (...args: any[]) => Nd
  samples: (s: Sampler) => unknown[][]
  errors?: (s: Sampler) => [unknown[], RegExp][]
}

/** An op that changes the tensor it is called on, and returns it. */
function inPlace<A extends unknown[], const P extends readonly string[]>({ run, ...rest }: InPlace<A, P>) {
  return compose({
    ...rest,
    differentiable: false,
    forward(input: Tensor, ...args: A): Tensor {
      refuseRecording(rest.name, input, ...args)
      run(input, ...args)
      return input
    },
  })
}

/** input += alpha × other. */
export const add_ = inPlace({
  name: 'add_',
  params: ['input', 'other', 'alpha'],
  run(self: Tensor, other: Operand, alpha: number = 1) {
    if (alpha === 1) update('add_', self, other, 'add_f32', [], (x, y) => x.add(y))
    else update('add_', self, other, 'add_scaled_f32', [alpha], (x, y) => x.add(y, alpha))
  },
  ref: (a: Nd, b: Nd | number, alpha: number = 1) => a.zip(b, (x, y) => x + alpha * y),
  samples: (s) => [
    [s.randn(3, 5), s.randn(3, 5)],
    [s.randn(3, 5), s.randn(5), -0.5],
    [s.randn(17), 2],
    [s.randint(-9, 9, [7]), 2],
    [s.randint(-9, 9, [7], 'float16'), s.randn(1)],
    [s.randn(0), 1],
  ],
  errors: (s) => [
    [[s.randint(0, 3, [2]), 0.5], /add_: a result of float32 does not fit into int64/],
    [[s.randn(3), s.randn(2, 3)], /add_: shape \[2, 3\] does not broadcast to \[3\]/],
  ],
})

/** input -= alpha × other. */
export const sub_ = inPlace({
  name: 'sub_',
  params: ['input', 'other', 'alpha'],
  run(self: Tensor, other: Operand, alpha: number = 1) {
    if (alpha === 1) update('sub_', self, other, 'sub_f32', [], (x, y) => x.sub(y))
    else update('sub_', self, other, 'add_scaled_f32', [-alpha], (x, y) => x.sub(y, alpha))
  },
  ref: (a: Nd, b: Nd | number, alpha: number = 1) => a.zip(b, (x, y) => x - alpha * y),
  samples: (s) => [
    [s.randn(3, 5), s.randn(5)],
    [s.randn(3, 5), s.randn(5), 0.5],
    [s.randn(5), 3, 0.5],
    [s.randint(-9, 9, [7]), 2],
  ],
})

/** input ×= other. */
export const mul_ = inPlace({
  name: 'mul_',
  params: ['input', 'other'],
  run: (self: Tensor, other: Operand) => update('mul_', self, other, 'mul_f32', [], (x, y) => x.mul(y)),
  ref: (a: Nd, b: Nd | number) => a.zip(b, (x, y) => x * y),
  samples: (s) => [
    [s.randn(3, 5), s.randn(5)],
    [s.randn(17), 0.5],
    [s.randint(-9, 9, [7]), 2],
  ],
})

/** input /= other. */
export const div_ = inPlace({
  name: 'div_',
  params: ['input', 'other'],
  run: (self: Tensor, other: Operand) => update('div_', self, other, 'div_f32', [], (x, y) => x.div(y)),
  ref: (a: Nd, b: Nd | number) => a.zip(b, (x, y) => x / y),
  samples: (s) => [
    [s.randn(3, 5), s.uniform(1, 2, 5)],
    [s.randn(17), 4],
  ],
  errors: (s) => [[[s.randint(0, 3, [2]), 2], /div_: a result of float32 does not fit into int64/]],
})

/** input += value × tensor1 × tensor2. */
export const addcmul_ = inPlace({
  name: 'addcmul_',
  params: ['input', 'tensor1', 'tensor2', 'value'],
  run: (self: Tensor, tensor1: Tensor, tensor2: Tensor, value: number = 1) =>
    void add_(self, tensor1.mul(tensor2), value),
  ref: (a: Nd, b: Nd, c: Nd, value: number = 1) =>
    a.zip(
      b.zip(c, (x, y) => x * y),
      (x, y) => x + value * y,
    ),
  samples: (s) => [[s.randn(3, 5), s.randn(3, 5), s.randn(5), 0.5]],
})

/** input += value × tensor1 / tensor2. */
export const addcdiv_ = inPlace({
  name: 'addcdiv_',
  params: ['input', 'tensor1', 'tensor2', 'value'],
  run: (self: Tensor, tensor1: Tensor, tensor2: Tensor, value: number = 1) =>
    void add_(self, tensor1.div(tensor2), value),
  ref: (a: Nd, b: Nd, c: Nd, value: number = 1) =>
    a.zip(
      b.zip(c, (x, y) => x / y),
      (x, y) => x + value * y,
    ),
  samples: (s) => [[s.randn(3, 5), s.randn(3, 5), s.uniform(1, 2, 5), 0.5]],
})

/** input += weight × (end - input). */
export const lerp_ = inPlace({
  name: 'lerp_',
  params: ['input', 'end', 'weight'],
  run: (self: Tensor, end: Tensor, weight: Tensor | number) => void add_(self, end.sub(self).mul(weight)),
  ref: (a: Nd, b: Nd, weight: number) => a.zip(b, (x, y) => x + weight * (y - x)),
  samples: (s) => [[s.randn(3, 5), s.randn(3, 5), 0.1]],
})

/** Kept between min and max, either of which may be null. */
export const clamp_ = inPlace({
  name: 'clamp_',
  params: ['input', 'min', 'max'],
  run(self: Tensor, min: number | null = null, max: number | null = null) {
    if (!direct(self, []) || (min === null && max === null)) return write('clamp_', self, self.clamp(min, max))
    mapF32('clamp_f32', self, [min ?? Number.NEGATIVE_INFINITY, max ?? Number.POSITIVE_INFINITY], self)
    self.storage.version++
  },
  ref: (a: Nd, min: number | null = null, max: number | null = null) =>
    a.map((x) => Math.min(Math.max(x, min ?? x), max ?? Number.POSITIVE_INFINITY)),
  samples: (s) => [
    [s.randn(3, 5), -0.5, 0.5],
    [s.randn(7), 0.1],
    [s.randint(-9, 9, [7]), null, 2],
  ],
  errors: (s) => [[[s.randn(2)], /expected min, max or both/]],
})

/** Every element set to a number. */
export const fill_ = inPlace({
  name: 'fill_',
  params: ['input', 'value'],
  run: (self: Tensor, value: Operand) => write('fill_', self, operand(value, self.dtype)),
  ref: (a: Nd, value: Nd | number) => a.map(() => (typeof value === 'number' ? value : value.data[0])),
  samples: (s) => [
    [s.randn(3, 5), 1.5],
    [s.randint(0, 9, [7]), -3],
    [s.randint(0, 9, [40], 'float16'), 2],
    [s.mask(5), 1],
    [s.randn(4), s.randn()],
  ],
})

/** Every element set to 0. */
export const zero_ = inPlace({
  name: 'zero_',
  params: ['input'],
  run: (self: Tensor) => void fill_(self, 0),
  ref: (a: Nd) => a.map(() => 0),
  samples: (s) => [[s.randn(3, 5)], [s.randint(1, 9, [7])]],
})

/** Elements of another tensor, cast and broadcast. */
export const copy_ = inPlace({
  name: 'copy_',
  params: ['input', 'src'],
  run: (self: Tensor, src: Tensor) => write('copy_', self, apart(self, src) as Tensor),
  ref: (a: Nd, b: Nd) => a.zip(b, (_, y) => y),
  samples: (s) => [
    [s.randn(3, 5), s.randn(3, 5)],
    [s.randn(3, 5), s.randn(5)],
    [s.randn(3), s.randint(-9, 9, [1])],
  ],
  errors: (s) => [[[s.randn(3), s.randn(2, 3)], /copy_: shape \[2, 3\] does not broadcast to \[3\]/]],
})

/** A number written where the mask holds. */
export const masked_fill_ = inPlace({
  name: 'masked_fill_',
  params: ['input', 'mask', 'value'],
  run: (self: Tensor, mask: Tensor, value: number) =>
    write('masked_fill_', self, choose('masked_fill_', mask, operand(value, self.dtype), self)),
  ref: (a: Nd, mask: Nd, value: number) => a.zip(mask, (x, m) => (m ? value : x)),
  samples: (s) => [
    [s.randn(3, 5), s.mask(5), -2],
    [s.randint(0, 9, [7]), s.mask(7), 3],
  ],
})
