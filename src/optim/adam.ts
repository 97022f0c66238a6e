// Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), by torch's formulas.
import type { Tensor } from '../tensor/tensor.ts'
import { launch } from '../wasm/index.ts'
import { checkRange, Optimizer, type Params, zerosBeside } from './optimizer.ts'

/** Elements that a thread updates in some tens of microseconds. */
const GRAIN = 1 << 14

export interface AdamOptions {
  lr: number
  /** How much of the running means of gradients and of their squares stays. */
  betas: [number, number]
  /** Added to the denominator. */
  eps: number
  weight_decay: number
  /** Divides by the largest running mean of squares so far. */
  amsgrad: boolean
  /** Goes up instead of down. */
  maximize: boolean
}

const DEFAULTS: AdamOptions = {
  lr: 1e-3,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weight_decay: 0,
  amsgrad: false,
  maximize: false,
}

abstract class AdamBase extends Optimizer<AdamOptions> {
  /** Whether weight decay shrinks the parameter itself (AdamW), or adds to the gradient (Adam). */
  protected abstract readonly decoupled: boolean

  protected check({ lr, betas, eps, weight_decay }: AdamOptions): void {
    checkRange(this.name, 'lr', lr, lr >= 0, '0 or more')
    checkRange(this.name, 'eps', eps, eps >= 0, '0 or more')
    checkRange(this.name, 'weight_decay', weight_decay, weight_decay >= 0, '0 or more')
    betas.forEach((beta, i) => checkRange(this.name, `betas[${i}]`, beta, beta >= 0 && beta < 1, 'from 0 to below 1'))
  }

  protected update(p: Tensor, grad: Tensor, { lr, betas, eps, weight_decay, amsgrad, maximize }: AdamOptions): void {
    const state = this.stateOf(p, () => ({ step: 0, exp_avg: zerosBeside(p), exp_avg_sq: zerosBeside(p) }))
    if (amsgrad) state.max_exp_avg_sq ??= zerosBeside(p)
    const step = (state.step as number) + 1
    state.step = step
    const [beta1, beta2] = betas
    const ptr = (slot: string) => (state[slot] as Tensor).ptr
    launch(
      'adam_f32',
      [
        p.ptr,
        grad.ptr,
        ptr('exp_avg'),
        ptr('exp_avg_sq'),
        amsgrad ? ptr('max_exp_avg_sq') : 0,
        this.decoupled ? 1 - lr * weight_decay : 1,
        this.decoupled ? 0 : weight_decay,
        maximize ? -1 : 1,
        beta1,
        beta2,
        lr / (1 - beta1 ** step),
        Math.sqrt(1 - beta2 ** step),
        eps,
      ],
      p.numel(),
      GRAIN,
    )
  }
}

/** Adam: weight decay is added to the gradient (torch.optim.Adam). */
export class Adam extends AdamBase {
  protected override readonly decoupled = false

  constructor(params: Params<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super('Adam', params, DEFAULTS, options)
  }
}

/** AdamW: weight decay shrinks the parameters themselves, 0.01 × lr a step unless it says otherwise (torch.optim.AdamW). */
export class AdamW extends AdamBase {
  protected override readonly decoupled = true

  constructor(params: Params<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super('AdamW', params, { ...DEFAULTS, weight_decay: 1e-2 }, options)
  }
}
