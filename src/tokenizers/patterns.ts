// Patterns of a tokenizer.json, and splitting by them.
import { SplitPreTokenizer } from '@huggingface/tokenizers'
import { unsupported } from '../util/errors.ts'
import type { Editable } from './aligned.ts'

/** A literal string or a regular expression (of Oniguruma's syntax). */
export type PatternJson = { String: string } | { Regex: string }

/** GPT-2's words: a word, number or other run with the space before it, or whitespace. */
export const GPT2_WORDS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

/** The regular expression of a pattern, global. */
export function patternOf(pattern: PatternJson): RegExp {
  if ('String' in pattern) return new RegExp(pattern.String.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'), 'gu')
  // The library translates Oniguruma's syntax and classes to JavaScript's.
  return new SplitPreTokenizer({ type: 'Split', pattern, behavior: 'Isolated', invert: false }).pattern!
}

/** What becomes of matches when a text is split at them. */
export type SplitBehavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous'
const BEHAVIORS: readonly SplitBehavior[] = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
]

/** Splits a text into parts of it, in order. */
export type Splitter = <T extends Editable<T>>(text: T) => T[]

/** A function that splits a text at the matches of a global regular expression; with `invert`, at what lies between them. */
export function splitterOf(regex: RegExp, behavior: string, invert = false): Splitter {
  const known = BEHAVIORS.find((name) => name.toLowerCase() === behavior.toLowerCase())
  if (!known) throw unsupported('tokenizer', 'pre_tokenizer.behavior', behavior, BEHAVIORS)
  const merge = MERGES[known]
  const split: Splitter = (text) =>
    merge(cut(text.toString(), regex, invert)).map(({ start, end }) => text.slice(start, end))
  if (known !== 'Isolated' && !(known === 'Removed' && invert)) return split
  return <T extends Editable<T>>(text: T): T[] => {
    const plain: unknown = text
    if (typeof plain !== 'string') return split(text)
    const matches: string[] = plain.match(regex) ?? []
    if (matches.includes('')) return split(text)
    // Most patterns leave nothing between their matches, and then this is all.
    const covered = known === 'Removed' || matches.reduce((sum, match) => sum + match.length, 0) === plain.length
    return covered ? (matches as unknown[] as T[]) : split(text)
  }
}

interface Piece {
  start: number
  end: number
  match: boolean
}

/** Matches and what lies between them, in order. */
function cut(text: string, regex: RegExp, invert: boolean): Piece[] {
  const pieces: Piece[] = []
  const add = (start: number, end: number, match: boolean) => {
    if (end > start) pieces.push({ start, end, match: match !== invert })
  }
  let end = 0
  for (const match of text.matchAll(regex)) {
    add(end, match.index, false)
    end = match.index + match[0].length
    add(match.index, end, true)
  }
  add(end, text.length, false)
  return pieces
}

const MERGES: Record<SplitBehavior, (pieces: Piece[]) => Piece[]> = {
  Isolated: (pieces) => pieces,
  Removed: (pieces) => pieces.filter(({ match }) => !match),
  MergedWithPrevious: (pieces) => joined(pieces, (before, piece) => piece.match && !before.match),
  MergedWithNext: (pieces) => joined(pieces, (before, piece) => before.match && !piece.match),
  Contiguous: (pieces) => joined(pieces, (before, piece) => before.match === piece.match),
}

/** Joins each piece to the one before it where that is wanted; `before` is that piece itself, not what it was joined to. */
function joined(pieces: Piece[], wanted: (before: Piece, piece: Piece) => boolean): Piece[] {
  return pieces.reduce<Piece[]>((out, piece, i) => {
    if (i > 0 && wanted(pieces[i - 1], piece)) out[out.length - 1].end = piece.end
    else out.push({ ...piece })
    return out
  }, [])
}
