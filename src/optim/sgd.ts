// Stochastic gradient descent with momentum, by torch's formulas.
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { launch } from '../wasm/index.ts'
import { checkRange, Optimizer, type Params, zerosBeside } from './optimizer.ts'

/** Elements that a thread updates in some tens of microseconds. */
const GRAIN = 1 << 15

export interface SGDOptions {
  lr: number
  /** How much of the last steps stays. */
  momentum: number
  /** How much of a gradient does not go into the momentum. */
  dampening: number
  /** Added to the gradient, times the parameter. */
  weight_decay: number
  /** Looks ahead along the momentum. */
  nesterov: boolean
  /** Goes up instead of down. */
  maximize: boolean
}

const DEFAULTS: SGDOptions = { lr: 1e-3, momentum: 0, dampening: 0, weight_decay: 0, nesterov: false, maximize: false }

/** Stochastic gradient descent (torch.optim.SGD). */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: Params<SGDOptions>, options: Partial<SGDOptions> = {}) {
    super('SGD', params, DEFAULTS, options)
  }

  protected check({ lr, momentum, dampening, weight_decay, nesterov }: SGDOptions): void {
    checkRange('SGD', 'lr', lr, lr >= 0, '0 or more')
    checkRange('SGD', 'momentum', momentum, momentum >= 0, '0 or more')
    checkRange('SGD', 'weight_decay', weight_decay, weight_decay >= 0, '0 or more')
    if (nesterov && (momentum === 0 || dampening !== 0))
      throw new RushlightError('SGD: nesterov needs momentum, and dampening of 0')
  }

  protected update(
    p: Tensor,
    grad: Tensor,
    { lr, momentum, dampening, weight_decay, nesterov, maximize }: SGDOptions,
  ): void {
    const known = this.state.has(p)
    const buffer =
      momentum === 0 ? 0 : (this.stateOf(p, () => ({ momentum_buffer: zerosBeside(p) })).momentum_buffer as Tensor).ptr
    launch(
      'sgd_f32',
      [
        p.ptr,
        grad.ptr,
        buffer,
        lr,
        momentum,
        dampening,
        weight_decay,
        maximize ? -1 : 1,
        Number(nesterov),
        Number(!known),
      ],
      p.numel(),
      GRAIN,
    )
  }
}
