// Texts that remember where they came from, so that tokens have offsets. Normalizers and pre-tokenizers work on them as on strings.
import { byteCharactersOf } from './bytes.ts'

/** What normalizers and pre-tokenizers do with a text: a string, or one that remembers its source. */
export interface Editable<T> {
  readonly length: number
  toString(): string
  startsWith(text: string): boolean
  slice(start: number, end?: number): T
  replace(pattern: RegExp, replacement: (match: string) => string): T
  normalize(form: string): T
  toLowerCase(): T
}

/** UTF-8 bytes of a text, each as a character. */
export function bytesOf<T extends Editable<T>>(text: T): T {
  return typeof text === 'string' ? (byteCharactersOf(text) as unknown as T) : text.replace(/[^]/gu, byteCharactersOf)
}

/** A part of a text and what takes its place. */
export type Replacement = readonly [part: string, content: string]

/** Replaces the parts that a text consists of. */
export function replaceParts<T extends Editable<T>>(text: T, replacements: readonly Replacement[]): T {
  const given: unknown = text
  if (given instanceof Aligned) return given.replaceParts(replacements) as unknown as T
  return replacements.map(([, content]) => content).join('') as unknown as T
}

/** A character and the marks that combine with it: what normal forms look at together. */
const CLUSTER = /(?:[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?|[\uac00-\ud7a3][\u11a8-\u11c2]|\P{M})\p{M}*|\p{M}+/gu

/** A text whose every UTF-16 unit knows the range of the source that it came from. */
export class Aligned implements Editable<Aligned> {
  private constructor(
    private readonly text: string,
    private readonly starts: readonly number[],
    private readonly ends: readonly number[],
  ) {}

  /** A text that is its own source, from an offset on. */
  static of(text: string, offset: number): Aligned {
    const starts: number[] = []
    const ends: number[] = []
    for (const char of text) {
      const start = offset + starts.length
      for (let i = 0; i < char.length; i++) {
        starts.push(start)
        ends.push(start + char.length)
      }
    }
    return new Aligned(text, starts, ends)
  }

  get length(): number {
    return this.text.length
  }

  toString(): string {
    return this.text
  }

  /** Where a part of the text came from. */
  source(start: number, end: number): [start: number, end: number] {
    if (end > start) return [this.starts[start], this.ends[end - 1]]
    const at = this.ends[start - 1] ?? this.starts[start] ?? 0
    return [at, at]
  }

  startsWith(text: string): boolean {
    return this.text.startsWith(text)
  }

  slice(start: number, end?: number): Aligned {
    return new Aligned(this.text.slice(start, end), this.starts.slice(start, end), this.ends.slice(start, end))
  }

  /** What is put in comes from the last character that it replaces; from the next one where it replaces none. */
  replace(pattern: RegExp, replacement: (match: string) => string): Aligned {
    return this.edit(matchesOf(this.text, pattern), replacement, (match, content, start, end) => {
      const last = end > start ? end - 1 : Math.min(start, this.length - 1)
      return content === match ? indices(match, start) : Array.from(content, () => last)
    })
  }

  /** Replaces the parts that the text consists of, character by character. */
  replaceParts(replacements: readonly Replacement[]): Aligned {
    let end = 0
    let next = 0
    const matches = replacements.map(([part]): Match => ({ 0: part, index: (end += part.length) - part.length }))
    return this.edit(
      matches,
      () => replacements[next++][1],
      (part, _, start) => indices(part, start),
    )
  }

  normalize(form: string): Aligned {
    return this.edit(
      this.text.matchAll(CLUSTER),
      (cluster) => cluster.normalize(form),
      (cluster, content, start) => normalOrigins(cluster, content, start, form),
    )
  }

  toLowerCase(): Aligned {
    return this.replace(/[^]/gu, (char) => char.toLowerCase())
  }

  /** @param originOf for each character of the new content, the position whose source it has */
  private edit(
    matches: Iterable<Match>,
    replacement: (match: string) => string,
    originOf: (match: string, content: string, start: number, end: number) => number[],
  ): Aligned {
    const starts: number[] = []
    const ends: number[] = []
    let text = ''
    let done = 0
    const keep = (end: number) => {
      text += this.text.slice(done, end)
      for (; done < end; done++) {
        starts.push(this.starts[done])
        ends.push(this.ends[done])
      }
    }
    for (const { 0: match, index } of matches) {
      keep(index)
      done = index + match.length
      const content = replacement(match)
      const origins = originOf(match, content, index, done)
      let i = 0
      for (const char of content) {
        const origin = origins[Math.min(i++, origins.length - 1)]
        for (let unit = 0; unit < char.length; unit++) {
          starts.push(this.starts[origin] ?? 0)
          ends.push(this.ends[origin] ?? 0)
        }
      }
      text += content
    }
    keep(this.length)
    return new Aligned(text, starts, ends)
  }
}

/** A part of a text, and where it begins. */
interface Match {
  readonly 0: string
  readonly index: number
}

function matchesOf(text: string, pattern: RegExp): Iterable<Match> {
  if (pattern.global) return text.matchAll(pattern)
  const first = pattern.exec(text)
  return first ? [first] : []
}

/** Positions of a text's characters. */
function indices(text: string, start: number): number[] {
  let at = start
  return Array.from(text, (char) => (at += char.length) - char.length)
}

/**
 * Positions that the characters of a normal form have their source from, as tokenizers counts them: in the order of the result,
 * each takes the next characters of the source that it was made of, and what only a decomposition gave stays at the one before.
 */
function normalOrigins(cluster: string, content: string, start: number, form: string): number[] {
  const parts: { char: string; extra: boolean }[] = []
  const positions: number[] = []
  let at = start
  for (const char of cluster) {
    positions.push(at)
    at += char.length
    Array.from(char.normalize(form.startsWith('NFK') ? 'NFKD' : 'NFD')).forEach((char, i) => {
      parts.push({ char, extra: i > 0 })
    })
  }
  let next = 0 // of the cluster's characters
  return Array.from(content, (char) => {
    let taken = 0
    for (const piece of char.normalize('NFD')) {
      const found = parts.findIndex((part) => part.char === piece)
      if (found >= 0 && !parts.splice(found, 1)[0].extra) taken++
    }
    const origin = positions[Math.min(taken > 0 ? next : Math.max(next - 1, 0), positions.length - 1)]
    next += taken
    return origin
  })
}
