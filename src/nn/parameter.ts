// Parameters: tensors that a module owns and an optimizer changes. Lazy: memory appears when they are loaded or first used.
import { no_grad } from '../tensor/autograd.ts'
import { DTYPES, type DType } from '../tensor/dtype.ts'
import { keep, tidy } from '../tensor/scope.ts'
import { checkSizes, contiguousStrides, numelOf, type Shape } from '../tensor/shape.ts'
import { Storage } from '../tensor/storage.ts'
import { Tensor } from '../tensor/tensor.ts'

/** Fills a new float32 tensor in place, such as `init.normal_`. */
export type Initializer = (tensor: Tensor) => void

/** A tensor that belongs to a module: listed by parameters(), saved in state_dict(), a leaf that requires gradients (torch.nn.Parameter). */
export class Parameter extends Tensor {
  /** @internal Whether state_dict has it: false for a buffer that is computed, not learned. */
  persistent = true
  private initialize: Initializer | null = null

  /**
   * The elements of a tensor. They share memory, but for a view of part of something, which is copied.
   * @throws DTypeError for integers, which cannot require gradients
   */
  constructor(tensor: Tensor, requires_grad = true) {
    super(wholeStorage(tensor), [...tensor.shape], contiguousStrides(tensor.shape), 0, tensor.dtype)
    if (requires_grad) this.requires_grad_()
    keep(this)
  }

  /** A parameter of that shape, whose memory appears, filled by `initialize`, when it is first used. */
  static lazy(shape: Shape, initialize: Initializer, dtype: DType = 'float32'): Parameter {
    checkSizes('Parameter', shape)
    const storage = lazyStorage(shape, initialize, dtype)
    const parameter = tidy(() => new Parameter(new Tensor(storage, shape, contiguousStrides(shape), 0, dtype)))
    parameter.initialize = initialize
    return parameter
  }

  /** @internal Another initializer or dtype, as long as there is no memory yet. */
  initializeWith(initialize: Initializer | null = this.initialize, dtype: DType = this.dtype): void {
    if (!initialize) return
    this.initialize = initialize
    this.adopt(lazyStorage(this.shape, initialize, dtype), dtype)
  }

  /** Whether it has memory yet. */
  get materialized(): boolean {
    return this.storage.materialized
  }

  /** As a tensor; buffers and frozen parameters do not say that they are more. */
  override toString(): string {
    return this.requires_grad ? `Parameter containing:\n${super.toString()}` : super.toString()
  }
}

/** A reference to the storage of a tensor that is all of it, else to that of a copy. */
function wholeStorage(tensor: Tensor): Storage {
  if (tensor.fillsStorage()) return tensor.storage.retain()
  return tidy(() => Tensor.from(tensor.data as Float32Array, tensor.shape, tensor.dtype).storage.retain())
}

function lazyStorage(shape: Shape, initialize: Initializer, dtype: DType): Storage {
  const fill = (storage: Storage) => {
    const target = new Tensor(storage.retain(), shape, contiguousStrides(shape), 0, dtype)
    if (dtype === 'float32') return initialize(target)
    const wide = Tensor.empty(shape, 'float32', 'initial values')
    initialize(wide)
    target.copy_(wide)
  }
  return Storage.lazy(numelOf(shape) * DTYPES[dtype].bytes, 'parameter', (storage) =>
    no_grad(() => tidy(() => fill(storage))),
  )
}
