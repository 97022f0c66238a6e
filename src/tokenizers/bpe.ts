// Byte-pair encoding: a word begins as characters, and the pair of lowest rank is merged until none is left.
import { RushlightError, unsupported } from '../util/errors.ts'
import { PriorityQueue } from '../util/priority-queue.ts'
import type { Component } from './format.ts'
import type { Model } from './models.ts'
import { type Span, spansOf } from './spans.ts'

/** A pair of ids as one number: left times this, plus right. */
const PAIR = 2 ** 26
/** In the queue, a merge is its rank times this, plus its position: the smallest is the next. */
const POSITION = 2 ** 32
/** Words of the text are remembered up to this length, and this many. */
const CACHED_LENGTH = 256
const CACHED_WORDS = 1 << 16

/** The BPE model of a tokenizer.json. */
export class BpeModel implements Model {
  readonly vocab: ReadonlyMap<string, number>
  private readonly ranks = new Map<number, number>()
  private readonly merged: number[] = [] // id that a merge gives, by rank
  private readonly cache = new Map<string, number[]>()
  private readonly unknown: number | undefined
  private readonly prefix: string
  private readonly suffix: string
  private readonly fuseUnknown: boolean
  private readonly byteFallback: boolean
  private readonly wholeWords: boolean

  /** @throws RushlightError when a merge is of tokens that are not in the vocabulary */
  constructor(description: Component) {
    const given = description as Component & { vocab: Record<string, number>; merges: (string | [string, string])[] }
    if (given.dropout) throw unsupported('tokenizer', 'model.dropout', given.dropout, [null])
    this.vocab = new Map(Object.entries(given.vocab))
    this.unknown = this.vocab.get(given.unk_token as string)
    this.prefix = (given.continuing_subword_prefix as string | null) ?? ''
    this.suffix = (given.end_of_word_suffix as string | null) ?? ''
    this.fuseUnknown = given.fuse_unk === true
    this.byteFallback = given.byte_fallback === true
    this.wholeWords = given.ignore_merges === true
    this.spans = spansOf(this.vocab, { prefix: this.prefix, suffix: this.suffix, fused: this.fuseUnknown })
    for (const merge of given.merges) {
      const [left, right] = typeof merge === 'string' ? merge.split(' ') : merge
      const tail = this.prefix !== '' && right.startsWith(this.prefix) ? right.slice(this.prefix.length) : right
      const ids = [this.idOf(left), this.idOf(right), this.idOf(left + tail)]
      this.ranks.set(ids[0] * PAIR + ids[1], this.merged.push(ids[2]) - 1)
    }
  }

  /** Where in the word each of its ids stands. */
  readonly spans: (word: string, ids: readonly number[]) => Span[]

  private idOf(token: string): number {
    const id = this.vocab.get(token)
    if (id === undefined)
      throw new RushlightError(`tokenizer: model.merges: ${JSON.stringify(token)} is not in the vocabulary`)
    return id
  }

  /** Ids of a word. */
  encode(word: string): readonly number[] {
    const whole = this.wholeWords ? this.vocab.get(word) : undefined
    if (whole !== undefined) return [whole]
    const known = this.cache.get(word)
    if (known) return known
    const ids = this.merge(this.characters(word))
    if (word.length < CACHED_LENGTH) {
      if (this.cache.size === CACHED_WORDS) this.cache.clear()
      this.cache.set(word, ids)
    }
    return ids
  }

  /** Ids of the word's characters; what has none becomes its bytes, or the unknown token. */
  private characters(word: string): number[] {
    const ids: number[] = []
    let wasUnknown = false
    let at = 0
    for (const char of word) {
      const start = at
      at += char.length
      const token = (start > 0 ? this.prefix : '') + char + (at === word.length ? this.suffix : '')
      const id = this.vocab.get(token)
      const found = id !== undefined ? [id] : this.bytesOf(token)
      if (found) ids.push(...found)
      else if (this.unknown !== undefined && !(wasUnknown && this.fuseUnknown)) ids.push(this.unknown)
      wasUnknown = !found
    }
    return ids
  }

  private bytesOf(token: string): number[] | undefined {
    return this.byteFallback ? byteIds(token, this.vocab) : undefined
  }

  private merge(ids: number[]): number[] {
    if (ids.length < 2) return ids
    // A doubly linked list in arrays; a symbol that was merged into the one before it has id -1.
    const next = ids.map((_, i) => i + 1)
    const previous = ids.map((_, i) => i - 1)
    const queue = new PriorityQueue<number>((a, b) => a < b)
    const rankAt = (i: number) => (next[i] < ids.length ? this.ranks.get(ids[i] * PAIR + ids[next[i]]) : undefined)
    const enqueue = (i: number) => {
      const rank = rankAt(i)
      if (rank !== undefined) queue.push(rank * POSITION + i)
    }
    for (let i = 0; i + 1 < ids.length; i++) enqueue(i)
    for (let top = queue.pop(); top !== undefined; top = queue.pop()) {
      const at = top % POSITION
      if (ids[at] < 0) continue
      const rank = rankAt(at)
      const merged = this.merged[Math.floor(top / POSITION)]
      if (rank === undefined || this.merged[rank] !== merged) continue // one of the two has gone into another merge
      const right = next[at]
      ids[at] = merged
      ids[right] = -1
      next[at] = next[right]
      if (next[at] < ids.length) previous[next[at]] = at
      if (previous[at] >= 0) enqueue(previous[at])
      enqueue(at)
    }
    return ids.filter((id) => id >= 0)
  }
}

const encoder = new TextEncoder()

/** Ids of the tokens that stand for a text's bytes, such as `<0x0A>`; undefined where one is missing. */
export function byteIds(text: string, vocab: ReadonlyMap<string, number>): number[] | undefined {
  const ids = Array.from(encoder.encode(text), (byte) =>
    vocab.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  )
  return ids.includes(undefined) ? undefined : (ids as number[])
}
