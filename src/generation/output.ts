// What generate() gives with return_dict_in_generate, under transformers' names.
import type { Cache } from '../models/cache.ts'
import { Tensor } from '../tensor/tensor.ts'

/** Fields that were not asked for are absent. The tensors, and the cache, are the caller's to dispose of. */
export interface GenerateOutput {
  /** (B·num_return_sequences, T) of int64. */
  sequences: Tensor
  /** Of each step, processed scores (B,V); with beams, logarithms of probabilities (B·num_beams,V). */
  scores?: Tensor[]
  /** Of each step, the model's own logits. */
  logits?: Tensor[]
  /** (B·num_return_sequences): what beams were ranked by. */
  sequences_scores?: Tensor
  /** (B·num_return_sequences, new tokens) of int64: the row of `scores` that each token was chosen in; -1 behind the end. */
  beam_indices?: Tensor
  /** Of each step, of each layer. */
  hidden_states?: Tensor[][]
  attentions?: Tensor[][]
  past_key_values?: Cache
}

/** Rows of a step as a tensor (B,V), copied. */
export function stacked(rows: readonly Float32Array[]): Tensor {
  const V = rows[0].length
  const data = new Float32Array(rows.length * V)
  rows.forEach((row, b) => data.set(row, b * V))
  return Tensor.from(data, [rows.length, V], 'float32')
}

/** Sequences as a tensor, filled up behind their ends. */
export function filled(
  rows: readonly (readonly number[])[],
  fill: number,
  width = Math.max(...rows.map((row) => row.length)),
): Tensor {
  const data = rows.flatMap((row) => [...row, ...new Array<number>(Math.max(0, width - row.length)).fill(fill)])
  return Tensor.from(data, [rows.length, width], 'int64')
}
