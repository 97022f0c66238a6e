// What stands around the ids of a batch: truncation, special tokens, padding. As Python's tokenizers and transformers do it.
import { RushlightError, unsupported } from '../util/errors.ts'
import type { Tokens } from './engine.ts'
import type { Part, Template } from './template.ts'

export type PaddingStrategy = 'longest' | 'max_length' | 'do_not_pad'
export type TruncationStrategy = 'longest_first' | 'only_first' | 'only_second' | 'do_not_truncate'
export type Side = 'left' | 'right'

const PADDING: readonly unknown[] = [true, false, 'longest', 'max_length', 'do_not_pad']
const TRUNCATION: readonly unknown[] = [true, false, 'longest_first', 'only_first', 'only_second', 'do_not_truncate']

/** A model_max_length beyond this says that there is no limit. */
const NO_LIMIT = 1e20

/** How a call pads and truncates. */
export interface Lengths {
  padding: PaddingStrategy
  truncation: TruncationStrategy
  max_length: number | null
}

/** Options of a call, resolved with the tokenizer's own limit. @throws UnsupportedOptionError for a strategy that there is not */
export function lengthsOf(
  padding: boolean | PaddingStrategy = false,
  truncation: boolean | TruncationStrategy | null | undefined,
  max_length: number | null | undefined,
  modelMaxLength: number,
): Lengths {
  if (!PADDING.includes(padding)) throw unsupported('tokenizer', 'padding', padding, PADDING)
  if (truncation != null && !TRUNCATION.includes(truncation))
    throw unsupported('tokenizer', 'truncation', truncation, TRUNCATION)
  if (max_length != null && (!Number.isInteger(max_length) || max_length < 0))
    throw new RushlightError(`tokenizer: max_length: expected a whole number from 0 up, found ${max_length}`)
  const lengths: Lengths = {
    padding: padding === true ? 'longest' : padding || 'do_not_pad',
    truncation: truncation === true ? 'longest_first' : truncation || 'do_not_truncate',
    max_length: max_length ?? null,
  }
  if (lengths.max_length !== null) {
    // A length alone truncates.
    if (truncation == null && lengths.padding === 'do_not_pad') lengths.truncation = 'longest_first'
  } else if (modelMaxLength > NO_LIMIT) {
    if (lengths.padding === 'max_length') lengths.padding = 'do_not_pad'
    lengths.truncation = 'do_not_truncate'
  } else if (lengths.padding === 'max_length' || lengths.truncation !== 'do_not_truncate') {
    lengths.max_length = modelMaxLength
  }
  return lengths
}

/** Takes the ids of one text or two back to `room` in all. */
export function truncate(
  first: TextIds,
  second: TextIds | null,
  room: number,
  strategy: TruncationStrategy,
  side: Side,
): [first: TextIds, second: TextIds | null] {
  const [length, other] = [first.ids.length, second?.ids.length ?? 0]
  const excess = length + other - room
  if (strategy === 'do_not_truncate' || excess <= 0) return [first, second]
  const keep = (text: TextIds, n: number) => {
    const from = side === 'left' ? Math.max(text.ids.length - n, 0) : 0
    const cut = Object.entries(text).map(([name, values]) => [name, values.slice(from, from + n)])
    return Object.fromEntries(cut) as TextIds
  }
  if (strategy === 'longest_first' && second === null) return [keep(first, room), null]
  if (strategy === 'longest_first') {
    const [n1, n2] = shares(length, other, room)
    return [keep(first, n1), keep(second!, n2)]
  }
  const target = strategy === 'only_first' ? first : second
  if (!target)
    throw new RushlightError(
      "tokenizer: truncation: 'only_second' needs a second text. Hint: tokenizer(text, text_pair, options)",
    )
  const { length: before } = target.ids
  if (before <= excess)
    throw new RushlightError(
      `tokenizer: truncation: ${JSON.stringify(strategy)} cannot take ${excess} ids from a text of ${before}. Hint: use 'longest_first'`,
    )
  const shorter = keep(target, before - excess)
  return strategy === 'only_first' ? [shorter, second] : [first, shorter]
}

/** Lengths of two texts that share `room`: the longer one gives first, then both. */
function shares(first: number, second: number, room: number): [number, number] {
  let short = Math.min(first, second)
  let long = short > room ? short : Math.max(short, room - short)
  if (short + long > room) {
    short = Math.floor(room / 2)
    long = short + (room % 2)
  }
  return first > second ? [long, short] : [short, long]
}

/** Ids of a text; and where in it they stand, and of which word they are, if that is wanted. */
export type TextIds = Pick<Tokens, 'ids'> & Partial<Tokens>

/** One sequence as the model takes it. */
export interface Row {
  input_ids: number[]
  token_type_ids: number[]
  attention_mask: number[]
  special_tokens_mask: number[]
}

/** And where its ids come from: ranges of the text, words, and which of two texts (-1: none). */
export interface DetailedRow extends Row {
  starts: number[]
  ends: number[]
  words: number[]
  sequences: number[]
}

/** How many ids the template adds. */
export function addedBy(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + ('ids' in part ? part.ids.length : 0), 0)
}

/** Puts texts into the template; without special tokens, only their token types are taken from it. */
export function fill(
  { single, pair }: Template,
  first: TextIds,
  second: TextIds | null,
  special: boolean,
): Row & Partial<DetailedRow> {
  const parts = (second ? pair : single).filter((part) => special || 'text' in part)
  const join = (columns: (readonly number[])[]) => ([] as number[]).concat(...columns)
  /** A column that each text has, and a value for each special token. */
  const column = (name: keyof Tokens, value: number) =>
    join(parts.map((part) => ('ids' in part ? part.ids.map(() => value) : (textOf(part.text)[name] ?? []))))
  const textOf = (text: 'A' | 'B') => (text === 'A' ? first : second!)
  const ids = parts.map((part) => ('ids' in part ? part.ids : textOf(part.text).ids))
  const fillBy = (valueOf: (part: Part) => number) =>
    join(parts.map((part, i) => new Array<number>(ids[i].length).fill(valueOf(part))))
  return {
    input_ids: join(ids),
    token_type_ids: fillBy((part) => part.type),
    attention_mask: fillBy(() => 1),
    special_tokens_mask: fillBy((part) => ('ids' in part ? 1 : 0)),
    ...(first.starts && {
      starts: column('starts', 0),
      ends: column('ends', 0),
      words: column('words', -1),
      sequences: fillBy((part) => ('ids' in part ? -1 : part.text === 'A' ? 0 : 1)),
    }),
  }
}

/** Values of padding, by the name of what is padded. */
export type Fillers = Readonly<Record<string, number>>

/** Fills rows up to the longest one's length, or to a length that is given, on one side. */
export function pad(
  rows: Record<string, number[]>[],
  fillers: Fillers,
  length: number | null,
  multiple: number | null,
  side: Side,
): void {
  let target = length ?? Math.max(0, ...rows.map((row) => row.input_ids.length))
  if (multiple) target = Math.ceil(target / multiple) * multiple
  for (const row of rows) {
    const missing = target - row.input_ids.length
    if (missing <= 0) continue
    for (const [name, values] of Object.entries(row)) {
      const filler = new Array<number>(missing).fill(fillers[name] ?? 0)
      row[name] = side === 'left' ? [...filler, ...values] : [...values, ...filler]
    }
  }
}
