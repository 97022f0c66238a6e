// Tensor: a shape and strides over a piece of the heap. Its operations are attached by src/ops from the op table.
import { checkOptions, DTypeError, RushlightError, ShapeError } from '../util/errors.ts'
import { f32View, i32View, i64View, i8View, u16View, u8View } from '../wasm/index.ts'
import { accumulate, backward, type GradNode, type Hook } from './autograd.ts'
import { DTYPES, type DType, dtypeOf, isFloating, type TypedArray } from './dtype.ts'
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './half.ts'
import { printTensor } from './print.ts'
import { currentScope, type Scope } from './scope.ts'
import { checkSizes, contiguousStrides, isContiguous, normalizeDim, numelOf, type Shape, show } from './shape.ts'
import { Storage } from './storage.ts'

/** Nested arrays of numbers, bigints or booleans, as `tensor()` takes and `tolist()` gives. */
export type NestedArray<T> = T | NestedArray<T>[]
export type TensorData =
  | NestedArray<number | bigint | boolean>
  | TypedArray
  | Float64Array
  | Int16Array
  | Uint32Array
  | BigUint64Array

/** What Node's console asks for. */
const inspect = Symbol.for('nodejs.util.inspect.custom')

/** What a tensor holds of the heap and of the tape; apart from it, so that a finalizer can give it back. */
class Holdings {
  node: GradNode | null = null
  constructor(public storage: Storage | null) {}
  release(): void {
    this.storage?.release()
    this.storage = null
    this.node?.release()
    this.node = null
  }
}

/** Only a net for loose tensors in a notebook: it fires when the event loop turns, never inside a synchronous loop. */
const net = new FinalizationRegistry<Holdings>((holdings) => {
  live--
  holdings.release()
})

let live = 0

/** Number of tensors that have not been disposed of. */
export function liveTensors(): number {
  return live
}

/** A multi-dimensional array on the heap. Made by `tensor()`, `zeros()` and the like; every operation is a method under PyTorch's name. */
export class Tensor {
  readonly shape: Shape
  readonly strides: Shape
  /** First element, in elements from the start of the storage. */
  readonly offset: number
  dtype: DType
  /** Sum of the gradients of all backward passes; a leaf owns it. */
  grad: Tensor | null = null
  /** @internal The scope that will dispose of it. */
  scope: Scope | null = null
  /** @internal Which output of its node it is. */
  outputIndex = 0
  /** @internal Hooks on a leaf's gradient. */
  leafHooks: Set<Hook> | null = null
  /** @internal */
  protected readonly holdings: Holdings
  private leafRequiresGrad = false
  private netted = false

  /** transformers.js's form: dtype, elements in row-major order, shape. */
  constructor(type: string, data: ArrayLike<number> | ArrayLike<bigint>, dims: Shape)
  /** @internal Takes over one reference to the storage. */
  constructor(storage: Storage, shape: Shape, strides: Shape, offset: number, dtype: DType)
  constructor(
    source: string | Storage,
    second: ArrayLike<number> | ArrayLike<bigint>,
    third: Shape,
    offset = 0,
    dtype: DType = 'float32',
  ) {
    if (typeof source === 'string') {
      this.dtype = dtypeOf(source)
      this.shape = [...third]
      this.strides = contiguousStrides(third)
      this.holdings = new Holdings(filledStorage(second, this.shape, this.dtype))
    } else {
      this.dtype = dtype
      this.shape = second as Shape
      this.strides = third
      this.holdings = new Holdings(source)
    }
    this.offset = offset
    live++
    this.moveTo(currentScope())
  }

  /** New memory of that shape, not cleared. `label` (the op) is named when memory runs out. */
  static empty(shape: Shape, dtype: DType = 'float32', label = 'empty'): Tensor {
    checkSizes(label, shape)
    const storage = Storage.allocate(numelOf(shape) * DTYPES[dtype].bytes, label)
    return new Tensor(storage, [...shape], contiguousStrides(shape), 0, dtype)
  }

  /**
   * A tensor of the given elements, in row-major order. `data` holds as many elements as the shape;
   * float16 and bfloat16 may be given as their bits (Uint16Array) or as numbers.
   */
  static from(data: ArrayLike<number> | ArrayLike<bigint>, shape: Shape, dtype: DType = 'float32'): Tensor {
    return new Tensor(filledStorage(data, shape, dtype), [...shape], contiguousStrides(shape), 0, dtype)
  }

  // ---- memory

  /** @internal The storage; throws when the tensor has been disposed of. */
  get storage(): Storage {
    const { storage } = this.holdings
    if (!storage)
      throw new RushlightError(
        `A tensor of shape ${show(this.shape)} was used after dispose(). Hint: it left its tidy() or no_grad module call; return it, or keep() it`,
      )
    return storage
  }

  /** @internal Address of the first element. */
  get ptr(): number {
    return this.storage.ptr + this.offset * DTYPES[this.dtype].bytes
  }

  /** @internal Another tensor over the same storage. */
  alias(shape: Shape = this.shape, strides: Shape = this.strides, offset: number = this.offset): Tensor {
    return new Tensor(this.storage.retain(), shape, strides, offset, this.dtype)
  }

  /** @internal Hands the tensor over to a scope, or to nobody (null: it lives until disposed of or collected). */
  moveTo(scope: Scope | null): void {
    this.scope = scope
    if (scope) scope.tensors.push(this)
    else if (!this.netted) {
      this.netted = true
      net.register(this, this.holdings, this.holdings)
    }
  }

  /** @internal Takes over other contents of the same shape, contiguous; a parameter stays the same object when it is loaded or cast. */
  adopt(storage: Storage, dtype: DType): void {
    this.holdings.storage?.release()
    this.holdings.storage = storage
    this.dtype = dtype
  }

  /** Whether dispose() has been called, by hand or by a scope. */
  get disposed(): boolean {
    return this.holdings.storage === null
  }

  /** Gives its memory back (when no view, tape or owner needs it any more). Using the tensor afterwards throws. */
  dispose(): void {
    if (this.disposed) return
    live--
    this.holdings.release()
    if (this.netted) net.unregister(this.holdings)
    this.grad?.dispose()
    this.grad = null
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  // ---- shape

  /** Number of dimensions. */
  get ndim(): number {
    return this.shape.length
  }
  /** transformers.js's name of the shape. */
  get dims(): Shape {
    return this.shape
  }
  /** Number of elements. */
  numel(): number {
    return numelOf(this.shape)
  }
  /** Number of dimensions. */
  dim(): number {
    return this.shape.length
  }
  /** The shape, or the size of one dimension. */
  size(): Shape
  size(dim: number): number
  size(dim?: number): Shape | number {
    return dim === undefined ? this.shape : this.shape[normalizeDim('size', dim, this.ndim)]
  }
  /** Strides in elements, or one of them. */
  stride(): Shape
  stride(dim: number): number
  stride(dim?: number): Shape | number {
    return dim === undefined ? this.strides : this.strides[normalizeDim('stride', dim, this.ndim)]
  }
  /** Whether elements lie one after another in row-major order. */
  is_contiguous(): boolean {
    return isContiguous(this.shape, this.strides)
  }
  /** @internal Whether it is all there is in its storage, in row-major order. */
  fillsStorage(): boolean {
    return this.storage.bytes === this.numel() * this.element_size() && this.is_contiguous()
  }
  is_floating_point(): boolean {
    return isFloating(this.dtype)
  }
  /** Bytes of one element. */
  element_size(): number {
    return DTYPES[this.dtype].bytes
  }
  /** Always 'cpu': computing happens in WebAssembly. */
  get device(): string {
    return 'cpu'
  }

  // ---- elements

  /** @internal The contiguous elements as a typed array over the heap, valid until the next allocation. */
  view1d(): TypedArray {
    if (!this.is_contiguous()) throw new RushlightError('view1d: the tensor is not contiguous')
    return viewOf(this.ptr, this.numel(), this.dtype)
  }

  /** A copy of the elements in row-major order: Float32Array, BigInt64Array …; float16 and bfloat16 as their 16 bits, bool as bytes. */
  get data(): TypedArray {
    if (this.is_contiguous()) return this.view1d().slice()
    const out = new DTYPES[this.dtype].array(new ArrayBuffer(this.numel() * this.element_size()))
    const heap = this.reach()
    let to = 0
    const walk = (dim: number, from: number) => {
      if (dim === this.ndim) out[to++] = heap[from]
      else for (let i = 0; i < this.shape[dim]; i++) walk(dim + 1, from + i * this.strides[dim])
    }
    walk(0, 0)
    return out
  }

  /** @internal What lies from the first element to the last, element i of the view being i steps from the first. Valid until the next allocation. */
  reach(): TypedArray {
    const last = this.shape.reduce((at, size, d) => at + (size - 1) * this.strides[d], 0)
    return viewOf(this.ptr, this.numel() === 0 ? 0 : last + 1, this.dtype)
  }

  /** The elements as JavaScript numbers (or booleans). @throws RushlightError for an int64 beyond 2^53 */
  private numbers(op: string): (number | boolean)[] {
    const { data } = this
    const out = new Array<number | boolean>(data.length)
    for (let i = 0; i < data.length; i++) {
      const x = data[i]
      if (this.dtype === 'bool') out[i] = x !== 0
      else if (this.dtype === 'float16') out[i] = fromFloat16(x as number)
      else if (this.dtype === 'bfloat16') out[i] = fromBfloat16(x as number)
      else out[i] = Number(x)
      if (typeof x === 'bigint' && !Number.isSafeInteger(out[i]))
        throw new RushlightError(
          `${op}: ${x} is beyond 2^53, where JavaScript numbers are not exact. Hint: .data is a BigInt64Array`,
        )
    }
    return out
  }

  /** The elements as nested arrays of numbers or booleans; a number for a tensor without dimensions. */
  // biome-ignore lint/suspicious/noExplicitAny: the depth of nesting is known only at run time; unknown would make every use a cast
  tolist(): any {
    const flat = this.numbers('tolist')
    if (this.ndim === 0) return flat[0]
    const row = this.shape[this.ndim - 1]
    let at = 0
    const nest = (dim: number): NestedArray<number | boolean>[] =>
      dim === this.ndim - 1 ? flat.slice(at, (at += row)) : Array.from({ length: this.shape[dim] }, () => nest(dim + 1))
    return nest(0)
  }

  /** The one element as a number. @throws ShapeError when there are more or none */
  item(): number {
    if (this.numel() !== 1)
      throw new ShapeError(`item: expected a tensor of one element, found shape ${show(this.shape)}. Hint: tolist()`)
    return Number(this.numbers('item')[0])
  }

  /** As PyTorch prints: four digits, columns aligned, long tensors summarized. */
  toString(): string {
    return printTensor(this)
  }
  [inspect](): string {
    return this.disposed ? `tensor(disposed, shape=${show(this.shape)})` : this.toString()
  }
  [Symbol.for('Deno.customInspect')](): string {
    return this[inspect]()
  }

  // ---- autograd

  /** @internal The node of the tape that made it. */
  get node(): GradNode | null {
    return this.holdings.node
  }
  /** @internal */
  attach(node: GradNode, index: number): void {
    this.holdings.node = node.retain()
    this.outputIndex = index
  }
  /** The operation that made it, when gradients are recorded; null for a leaf. */
  get grad_fn(): { readonly name: string } | null {
    return this.holdings.node
  }
  get is_leaf(): boolean {
    return this.holdings.node === null
  }
  /** Whether operations on it are recorded. */
  get requires_grad(): boolean {
    return this.leafRequiresGrad || this.holdings.node !== null
  }
  set requires_grad(value: boolean) {
    this.requires_grad_(value)
  }
  /** Turns recording on or off for a leaf. Returns the tensor. @throws DTypeError for integers */
  requires_grad_(value = true): this {
    if (value && !isFloating(this.dtype))
      throw new DTypeError(`requires_grad: only floating dtypes have gradients, found ${this.dtype}`)
    if (!this.is_leaf && !value) throw new RushlightError('requires_grad = false is for leaves. Hint: detach()')
    if (this.is_leaf) this.leafRequiresGrad = value
    return this
  }
  /** The same data with no history. Shares memory. */
  detach(): Tensor {
    return this.alias()
  }
  /**
   * Computes gradients of everything that led to this tensor and adds them to the `.grad` of leaves; frees the tape unless `retain_graph`.
   * @param gradient of the same shape; may be left out for a tensor of one element
   */
  backward(gradient?: Tensor | null | BackwardOptions, retain_graph = false): void {
    const options = gradient instanceof Tensor || gradient == null ? { gradient, retain_graph } : gradient
    checkOptions('backward', options, ['gradient', 'retain_graph'])
    backward([this], [options.gradient ?? null], options.retain_graph ?? false, accumulate)
  }
  /** Calls `hook(grad)` when the gradient of this tensor is known; a returned tensor replaces it. Returns a handle with remove(). */
  register_hook(hook: Hook): { remove(): void } {
    if (!this.requires_grad) throw new RushlightError('register_hook: the tensor does not require gradients')
    const hooks = this.node ? this.node.hooksOf(this.outputIndex) : (this.leafHooks ??= new Set())
    hooks.add(hook)
    return { remove: () => void hooks.delete(hook) }
  }
}

/** The contiguous elements of a storage as a typed array over the heap. */
function viewOf(ptr: number, n: number, dtype: DType): TypedArray {
  if (n === 0) return new DTYPES[dtype].array(new ArrayBuffer(0))
  switch (dtype) {
    case 'float32':
      return f32View(ptr, n)
    case 'float16':
    case 'bfloat16':
      return u16View(ptr, n)
    case 'int8':
      return i8View(ptr, n)
    case 'uint8':
    case 'bool':
      return u8View(ptr, n)
    case 'int32':
      return i32View(ptr, n)
    case 'int64':
      return i64View(ptr, n)
  }
}

/** New storage with the given elements, converted to the dtype. */
function filledStorage(data: ArrayLike<number> | ArrayLike<bigint>, shape: Shape, dtype: DType): Storage {
  checkSizes('tensor', shape)
  const n = numelOf(shape)
  if (data.length !== n)
    throw new ShapeError(`tensor: ${data.length} elements do not fill shape ${show(shape)}, which has ${n}`)
  const storage = Storage.allocate(n * DTYPES[dtype].bytes, 'tensor')
  const view = viewOf(storage.ptr, n, dtype)
  const big = data instanceof BigInt64Array || data instanceof BigUint64Array
  if (view instanceof BigInt64Array) {
    if (data instanceof BigInt64Array) view.set(data)
    else
      for (let i = 0; i < n; i++) view[i] = BigInt(typeof data[i] === 'bigint' ? data[i] : Math.trunc(Number(data[i])))
  } else if ((dtype === 'float16' || dtype === 'bfloat16') && !(data instanceof Uint16Array)) {
    const toBits = dtype === 'float16' ? toFloat16 : toBfloat16
    for (let i = 0; i < n; i++) view[i] = toBits(Number(data[i]))
  } else if (dtype === 'bool') for (let i = 0; i < n; i++) view[i] = Number(data[i]) === 0 ? 0 : 1
  else if (ArrayBuffer.isView(data) && !big) view.set(data as Float32Array)
  else for (let i = 0; i < n; i++) view[i] = Number(data[i])
  return storage
}

export interface BackwardOptions {
  gradient?: Tensor | null
  retain_graph?: boolean
}
