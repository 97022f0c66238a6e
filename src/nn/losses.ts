// Losses as modules.
import type { LossReduction } from '../ops/loss.ts'
import { Tensor } from '../tensor/tensor.ts'
import { checkOptions } from '../util/errors.ts'
import * as F from './functional.ts'
import { Module } from './module.ts'

abstract class Loss extends Module<[input: Tensor, target: Tensor], Tensor> {}

/** Options of CrossEntropyLoss, with torch's names. */
export interface CrossEntropyOptions {
  /** A weight for each class. */
  weight?: Tensor | null
  /** Targets that do not count. */
  ignore_index?: number
  reduction?: LossReduction
  label_smoothing?: number
}

/** Logits (N, C, …) against class indices or probabilities. */
export class CrossEntropyLoss extends Loss {
  readonly ignore_index: number
  readonly reduction: LossReduction
  readonly label_smoothing: number

  constructor(options: CrossEntropyOptions = {}) {
    super()
    checkOptions('CrossEntropyLoss', options, ['weight', 'ignore_index', 'reduction', 'label_smoothing'])
    const { weight = null, ignore_index = -100, reduction = 'mean', label_smoothing = 0 } = options
    this.ignore_index = ignore_index
    this.reduction = reduction
    this.label_smoothing = label_smoothing
    if (weight) this.register_buffer('weight', weight)
  }

  forward(input: Tensor, target: Tensor): Tensor {
    const weight = 'weight' in this && this.weight instanceof Tensor ? this.weight : null
    return F.cross_entropy(input, target, weight, this.ignore_index, this.reduction, this.label_smoothing)
  }
}

/** Mean of the squared differences. */
export class MSELoss extends Loss {
  readonly reduction: LossReduction

  constructor(options: { reduction?: LossReduction } = {}) {
    super()
    checkOptions('MSELoss', options, ['reduction'])
    this.reduction = options.reduction ?? 'mean'
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.mse_loss(input, target, this.reduction)
  }
}
