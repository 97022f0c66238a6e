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

/** One text or two, as one sequence has them. */
export type Cut = [first: TextIds, second: TextIds | null]

/**
 * Takes the ids of one text or two back to `room` in all. Of one that is cut come further parts, each with the last `stride` ids of
 * the part before.
 */
export function truncate(
  first: TextIds,
  second: TextIds | null,
  room: number,
  strategy: TruncationStrategy,
  side: Side,
  stride: number,
): Cut[] {
  const [length, other] = [first.ids.length, second?.ids.length ?? 0]
  const excess = length + other - room
  if (strategy === 'do_not_truncate' || excess <= 0) return [[first, second]]
  if (strategy === 'longest_first' && second === null)
    return parts(first, room, stride, side).map((part): Cut => [part, null])
  if (strategy === 'longest_first') {
    const [n1, n2] = shares(length, other, room)
    return [[parts(first, n1, 0, side)[0], parts(second!, n2, 0, side)[0]]]
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
  return parts(target, before - excess, stride, side).map((part) =>
    strategy === 'only_first' ? [part, second] : [first, part],
  )
}

/** Parts of n ids, each with the last `stride` of the one before, from the side that is kept. */
function parts(text: TextIds, n: number, stride: number, side: Side): TextIds[] {
  const { length } = text.ids
  if (stride > 0 && stride >= n)
    throw new RushlightError(
      `tokenizer: stride: expected less than the ${n} ids that a text is cut to, found ${stride}`,
    )
  const slice = (from: number, to: number): TextIds => {
    const columns = Object.entries(text).map(([name, values]) => [name, values.slice(from, to)])
    const part = Object.fromEntries(columns) as TextIds
    if (part.starts && part.leads && to > from) part.starts[0] = part.leads[0]
    return part
  }
  if (n === 0) return [slice(0, 0), text]
  if (n >= length) return [text]
  const count = Math.ceil((length - n) / (n - stride)) + 1
  return Array.from({ length: count }, (_, i) => {
    const skipped = i * (n - stride)
    return side === 'left'
      ? slice(Math.max(length - skipped - n, 0), length - skipped)
      : slice(skipped, Math.min(skipped + n, length))
  })
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
  const layout = (second ? pair : single).filter((part) => special || 'text' in part)
  const join = (columns: (readonly number[])[]) => ([] as number[]).concat(...columns)
  /** A column that each text has, and a value for each special token. */
  const column = (name: keyof Tokens, value: number) =>
    join(layout.map((part) => ('ids' in part ? part.ids.map(() => value) : (textOf(part.text)[name] ?? []))))
  const textOf = (text: 'A' | 'B') => (text === 'A' ? first : second!)
  const ids = layout.map((part) => ('ids' in part ? part.ids : textOf(part.text).ids))
  const fillBy = (valueOf: (part: Part) => number) =>
    join(layout.map((part, i) => new Array<number>(ids[i].length).fill(valueOf(part))))
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
