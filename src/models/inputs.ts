// What models are called with: one object, whose values are tensors or arrays of numbers.
import { tensor } from '../ops/creation.ts'
import type { DType } from '../tensor/dtype.ts'
import { show } from '../tensor/shape.ts'
import { type NestedArray, Tensor, type TensorData } from '../tensor/tensor.ts'
import type { PreTrainedConfig } from './config.ts'
import { RushlightError, ShapeError, UnsupportedOptionError } from '../util/errors.ts'

/** Ids or masks as a user may give them: a tensor, or arrays of numbers (one dimension gains a batch of one). */
export type IntInput = Tensor | NestedArray<number | bigint>

/** Refuses inputs that the model does not know. */
export function checkInputs(model: string, inputs: object, known: readonly string[]): void {
  if (inputs === null || typeof inputs !== 'object' || inputs instanceof Tensor || Array.isArray(inputs))
    throw new RushlightError(
      `${model}: expected one object of inputs, such as { input_ids }, found ${inputs instanceof Tensor ? 'a tensor' : typeof inputs}`,
    )
  for (const [key, value] of Object.entries(inputs))
    if (!known.includes(key) && value !== undefined && value !== null && value !== false)
      throw new UnsupportedOptionError(`${model}: unsupported input ${key}. Supported: ${known.join(', ')}`)
}

/** A batch (B,T) of int64 from what the user gave. @throws ShapeError for other than one or two dimensions */
export function batch(
  model: string,
  name: string,
  given: IntInput | null | undefined,
  dtype: DType = 'int64',
): Tensor | null {
  if (given === null || given === undefined) return null
  let t = given instanceof Tensor ? given : tensor(given as TensorData, { dtype })
  if (t.ndim === 1) t = t.unsqueeze(0)
  if (t.ndim !== 2) throw new ShapeError(`${model}: ${name} must be (batch, length), found shape ${show(t.shape)}`)
  return t.dtype === dtype ? t : t.to(dtype)
}

/** Either ids or embeddings, never both or neither. */
export function oneOf(model: string, ids: Tensor | null, embeds: Tensor | null | undefined): void {
  if ((ids === null) === (embeds === null || embeds === undefined))
    throw new RushlightError(
      `${model}: expected either input_ids or inputs_embeds, found ${ids === null ? 'neither' : 'both'}`,
    )
}

/** Labels of a batch of sequences: class indices as int64, or numbers for regression. */
export function labelTensor(given: Tensor | number[] | null | undefined, config: PreTrainedConfig): Tensor | null {
  if (given === null || given === undefined) return null
  if (given instanceof Tensor) return given
  const regression = config.problem_type === 'regression' || config.num_labels === 1
  return tensor(given, {
    dtype: regression || config.problem_type === 'multi_label_classification' ? 'float32' : 'int64',
  })
}
