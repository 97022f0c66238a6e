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
  /** Tokens of the assistant's turns, where a chat's mask was asked for. */
  assistant_masks?: T
  /** Range of the text of each token. */
  offset_mapping?: [start: number, end: number][] | [start: number, end: number][][] | Tensor
  /** The text that each row is of, where what was cut off has rows of its own. */
  overflow_to_sample_mapping?: number[] | Tensor
  /** How many ids, where that was asked for. */
  length?: number[] | Tensor
}

const DEVICES = ['cpu', 'wasm', 'auto']

/** A range of a text, in UTF-16 units as `text.slice(start, end)` takes them. */
export interface CharSpan {
  start: number
  end: number
}

/** Where the ids of one sequence come from; -1 stands for special tokens and padding. */
export interface Origins {
  tokens: string[]
  starts: number[]
  ends: number[]
  words: number[]
  sequences: number[]
}

/** Ids and masks. They alone are own properties, so that an encoding spreads: `model.generate({ ...encoding, max_new_tokens: 20 })`. */
export class BatchEncoding<T extends Encoded = Encoded> {
  #originsOf: (() => Origins[]) | undefined
  #origins: Origins[] | undefined

  /** @param originsOf finds where the ids come from, once that is asked for */
  constructor(encodings: Encodings<T>, originsOf?: () => Origins[]) {
    Object.assign(this, encodings)
    this.#originsOf = originsOf
  }

  /** Itself: tensors live where they compute. @throws UnsupportedOptionError for a device that there is not */
  to(device: string): this {
    if (!DEVICES.includes(device)) throw unsupported('BatchEncoding.to', 'device', device, DEVICES)
    return this
  }

  #row(method: string, index: number): Origins {
    if (!this.#originsOf) throw new RushlightError(`BatchEncoding.${method}: this encoding is not a tokenizer's`)
    this.#origins ??= this.#originsOf()
    const row = this.#origins[index]
    if (!row)
      throw new RushlightError(
        `BatchEncoding.${method}: expected a sequence from 0 to ${this.#origins.length - 1}, found ${index}`,
      )
    return row
  }

  /** Tokens of a sequence. */
  tokens(batch_index = 0): string[] {
    return [...this.#row('tokens', batch_index).tokens]
  }

  /** The word that each token is of, counted from 0; null for special tokens. */
  word_ids(batch_index = 0): (number | null)[] {
    return this.#row('word_ids', batch_index).words.map(orNull)
  }

  /** Which of two texts each token is of; null for special tokens. */
  sequence_ids(batch_index = 0): (number | null)[] {
    return this.#row('sequence_ids', batch_index).sequences.map(orNull)
  }

  /**
   * The token that a character of the text belongs to, or null: `char_to_token(char)`, or `char_to_token(sequence, char)`.
   * Characters are counted in UTF-16 units.
   * @param sequence_index which of two texts
   */
  char_to_token(batch_or_char_index: number, char_index?: number, sequence_index = 0): number | null {
    const [batch, char] = char_index === undefined ? [0, batch_or_char_index] : [batch_or_char_index, char_index]
    const { starts, ends, sequences } = this.#row('char_to_token', batch)
    return orNull(starts.findIndex((start, i) => sequences[i] === sequence_index && char >= start && char < ends[i]))
  }

  /** The range of the text that a token stands for, or null for a special one: `token_to_chars(token)`, or `(sequence, token)`. */
  token_to_chars(batch_or_token_index: number, token_index?: number): CharSpan | null {
    const [batch, token] = token_index === undefined ? [0, batch_or_token_index] : [batch_or_token_index, token_index]
    const { starts, ends, sequences } = this.#row('token_to_chars', batch)
    return (sequences[token] ?? -1) < 0 ? null : { start: starts[token], end: ends[token] }
  }

  /** Which of two texts a token is of, or null for a special one: `token_to_sequence(token)`, or `(sequence, token)`. */
  token_to_sequence(batch_or_token_index: number, token_index?: number): number | null {
    const [batch, token] = token_index === undefined ? [0, batch_or_token_index] : [batch_or_token_index, token_index]
    return orNull(this.#row('token_to_sequence', batch).sequences[token] ?? -1)
  }

  /**
   * The tokens of a word, `end` after the last, or null: `word_to_tokens(word)`, or `word_to_tokens(sequence, word)`.
   * @param sequence_index which of two texts
   */
  word_to_tokens(batch_or_word_index: number, word_index?: number, sequence_index = 0): CharSpan | null {
    const [batch, word] = word_index === undefined ? [0, batch_or_word_index] : [batch_or_word_index, word_index]
    const { words, sequences } = this.#row('word_to_tokens', batch)
    const isOf = (one: number, i: number) => one === word && sequences[i] === sequence_index
    const start = words.findIndex(isOf)
    return start < 0 ? null : { start, end: words.findLastIndex(isOf) + 1 }
  }

  /** The word that a token is of, or null for a special one: `token_to_word(token)`, or `(sequence, token)`. */
  token_to_word(batch_or_token_index: number, token_index?: number): number | null {
    const [batch, token] = token_index === undefined ? [0, batch_or_token_index] : [batch_or_token_index, token_index]
    return orNull(this.#row('token_to_word', batch).words[token] ?? -1)
  }
}
export interface BatchEncoding<T extends Encoded = Encoded> extends Encodings<T> {}

function orNull(value: number): number | null {
  return value < 0 ? null : value
}

/** Rows of one length as an int64 tensor (B,T). @throws RushlightError when their lengths differ */
export function rowsToTensor(rows: readonly number[][]): Tensor {
  const length = rows[0]?.length ?? 0
  if (rows.some((row) => row.length !== length))
    throw new RushlightError(
      `tokenizer: return_tensors needs rows of one length, found ${rows.map((row) => row.length).join(', ')}. Hint: padding: true, truncation: true`,
    )
  return Tensor.from(BigInt64Array.from(rows.flat(), BigInt), [rows.length, length], 'int64')
}

/** Rows of ranges as an int64 tensor (B,T,2). */
export function pairsToTensor(rows: readonly (readonly [number, number])[][]): Tensor {
  return Tensor.from(BigInt64Array.from(rows.flat(2), BigInt), [rows.length, rows[0]?.length ?? 0, 2], 'int64')
}
