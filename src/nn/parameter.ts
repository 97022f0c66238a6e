// Parameters: tensors that a module owns and an optimizer changes. Lazy: memory appears when they are loaded or first used.
import { no_grad } from '../tensor/autograd.ts'
import { DTYPES, type DType } from '../tensor/dtype.ts'
import { keep, tidy } from '../tensor/scope.ts'
import { contiguousStrides, numelOf, type Shape } from '../tensor/shape.ts'
import { Storage } from '../tensor/storage.ts'
import { Tensor } from '../tensor/tensor.ts'

/** Fills a new parameter in place, such as `init.normal_`. */
export type Initializer = (tensor: Tensor) => void

/** A tensor that belongs to a module: listed by parameters(), saved in state_dict(), a leaf that requires gradients. */
export class Parameter extends Tensor {
  /** @internal Whether it is left out of state_dict (a buffer that is computed, not learned). */
  persistent = true

  private constructor(storage: Storage, shape: Shape, dtype: DType) {
    super(storage, shape, contiguousStrides(shape), 0, dtype)
    keep(this)
  }

  /** A parameter of that shape, whose memory appears, filled by `initialize`, when it is first used. */
  static lazy(shape: Shape, initialize: Initializer, dtype: DType = 'float32'): Parameter {
    const parameter = new Parameter(lazyStorage(shape, initialize, dtype), [...shape], dtype)
    parameter.requires_grad_()
    return parameter
  }

  /** @internal Another initializer, as long as there is no memory yet. */
  initializeWith(initialize: Initializer): void {
    this.adopt(lazyStorage(this.shape, initialize, this.dtype), this.dtype)
  }

  /** A parameter with the elements of a tensor (torch.nn.Parameter). Shares its storage. */
  static of(tensor: Tensor, requires_grad = true): Parameter {
    const whole = tensor.is_contiguous() ? tensor : Tensor.from(tensor.data as Float32Array, tensor.shape, tensor.dtype)
    if (whole.offset !== 0 || numelOf(whole.shape) * whole.element_size() !== whole.storage.bytes)
      return Parameter.of(Tensor.from(whole.data as Float32Array, whole.shape, whole.dtype), requires_grad)
    const parameter = new Parameter(whole.storage.retain(), tensor.shape, tensor.dtype)
    if (requires_grad) parameter.requires_grad_()
    return parameter
  }

  /** Whether it has memory yet. */
  get materialized(): boolean {
    return this.storage.materialized
  }
}

function lazyStorage(shape: Shape, initialize: Initializer, dtype: DType): Storage {
  return Storage.lazy(numelOf(shape) * DTYPES[dtype].bytes, 'parameter', (self) => {
    no_grad(() => tidy(() => initialize(new Tensor(self.retain(), shape, contiguousStrides(shape), 0, dtype))))
  })
}
