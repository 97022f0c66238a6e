// The losses of transformers' heads.
import * as F from '../nn/functional.ts'
import { full } from '../ops/creation.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { cat } from '../ops/movement.ts'
import type { PreTrainedConfig } from './config.ts'

/** Cross-entropy of each position's logits (B,T,V) with the next position's label (B,T); -100 is left out. */
export function causalLMLoss(logits: Tensor, labels: Tensor): Tensor {
  const [B, T, V] = logits.shape
  const next = cat([labels.slice(1, 1), full([B, 1], -100, { dtype: 'int64' })], 1) // (B,T)
  return F.cross_entropy(logits.reshape([B * T, V]), next.reshape([B * T]))
}

/** Cross-entropy of logits (B,T,V) with labels (B,T) at the same positions; -100 is left out. */
export function maskedLMLoss(logits: Tensor, labels: Tensor): Tensor {
  const [B, T, V] = logits.shape
  return F.cross_entropy(logits.reshape([B * T, V]), labels.reshape([B * T]))
}

/** Loss of a classifier's logits (B,C): as `problem_type` says, or as the labels look. */
export function sequenceClassificationLoss(logits: Tensor, labels: Tensor, config: PreTrainedConfig): Tensor {
  const { num_labels } = config
  const integral = labels.dtype === 'int64' || labels.dtype === 'int32'
  const problem =
    config.problem_type ??
    (num_labels === 1 ? 'regression' : integral ? 'single_label_classification' : 'multi_label_classification')
  if (problem === 'regression')
    return F.mse_loss(
      num_labels === 1 ? logits.reshape([-1]) : logits,
      num_labels === 1 ? labels.reshape([-1]).to('float32') : labels.to('float32'),
    )
  if (problem === 'single_label_classification') return F.cross_entropy(logits, labels.reshape([-1]))
  return F.binary_cross_entropy_with_logits(logits, labels.to('float32'))
}
