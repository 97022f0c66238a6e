// BatchEncoding: what a tokenizer gives to a model.
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError, unsupported } from '../util/errors.ts'

/** Ids of one sequence, of a batch of them, or a tensor. */
export type Encoded = number[] | number[][] | Tensor

/** What an encoding may hold, by the names of a model's inputs. */
export interface Encodings<T extends Encoded> {
  input_ids: T
  attention_mask?: T
  token_type_ids?: T
  special_tokens_mask?: T
}

const DEVICES = ['cpu', 'wasm', 'auto']

/** Ids and masks. They alone are own properties, so that an encoding spreads: `model.generate({ ...encoding, max_new_tokens: 20 })`. */
export class BatchEncoding<T extends Encoded = Encoded> {
  constructor(encodings: Encodings<T>) {
    Object.assign(this, encodings)
  }

  /** Itself: tensors live where they compute. @throws UnsupportedOptionError for a device that there is not */
  to(device: string): this {
    if (!DEVICES.includes(device)) throw unsupported('BatchEncoding.to', 'device', device, DEVICES)
    return this
  }
}
export interface BatchEncoding<T extends Encoded = Encoded> extends Encodings<T> {}

/** Rows of one length as an int64 tensor (B,T). @throws RushlightError when their lengths differ */
export function rowsToTensor(rows: readonly number[][]): Tensor {
  const length = rows[0]?.length ?? 0
  if (rows.some((row) => row.length !== length))
    throw new RushlightError(
      `tokenizer: return_tensors needs rows of one length, found ${rows.map((row) => row.length).join(', ')}. Hint: padding: true, truncation: true`,
    )
  return Tensor.from(BigInt64Array.from(rows.flat(), BigInt), [rows.length, length], 'int64')
}
