// Patterns of a tokenizer.json, and splitting by them.
import { SplitPreTokenizer } from '@huggingface/tokenizers'
import { unsupported } from '../util/errors.ts'

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

/** A function that splits a text at the matches of a global regular expression; with `invert`, at what lies between them. */
export function splitterOf(regex: RegExp, behavior: string, invert = false): (text: string) => string[] {
  const known = BEHAVIORS.find((name) => name.toLowerCase() === behavior.toLowerCase())
  if (!known) throw unsupported('tokenizer', 'pre_tokenizer.behavior', behavior, BEHAVIORS)
  if (known === 'Removed' && invert) return (text) => (text.match(regex) ?? []).filter((piece) => piece !== '')
  const merge = MERGES[known]
  if (merge) return (text) => merge(cut(text, regex, invert)).map(textOf)
  if (known === 'Removed')
    return (text) =>
      cut(text, regex, invert)
        .filter(({ match }) => !match)
        .map(textOf)
  return (text) => {
    const matches: string[] = text.match(regex) ?? []
    // Most patterns leave nothing between their matches, and then this is all.
    const covered = matches.reduce((sum, match) => sum + match.length, 0) === text.length && !matches.includes('')
    return covered ? matches : cut(text, regex, invert).map(textOf)
  }
}

interface Piece {
  text: string
  match: boolean
}

function textOf(piece: Piece): string {
  return piece.text
}

/** Matches and what lies between them, in order. */
function cut(text: string, regex: RegExp, invert: boolean): Piece[] {
  const pieces: Piece[] = []
  const add = (start: number, end: number, match: boolean) => {
    if (end > start) pieces.push({ text: text.slice(start, end), match: match !== invert })
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

const MERGES: Partial<Record<SplitBehavior, (pieces: Piece[]) => Piece[]>> = {
  MergedWithPrevious: (pieces) => {
    let before = false
    return pieces.reduce<Piece[]>((out, { text, match }) => {
      if (match && !before && out.length > 0) out[out.length - 1].text += text
      else out.push({ text, match })
      before = match
      return out
    }, [])
  },
  MergedWithNext: (pieces) => {
    let after = false
    return pieces.reduceRight<Piece[]>((out, { text, match }) => {
      if (match && !after && out.length > 0) out[0].text = text + out[0].text
      else out.unshift({ text, match })
      after = match
      return out
    }, [])
  },
  Contiguous: (pieces) =>
    pieces.reduce<Piece[]>((out, { text, match }) => {
      const last = out[out.length - 1]
      if (last && last.match === match) last.text += text
      else out.push({ text, match })
      return out
    }, []),
}
