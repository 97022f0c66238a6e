// Trains a byte-level BPE tokenizer with GPT-2's pre-tokenizer. Merges are those that Python's tokenizers finds.
import { checkOptions, RushlightError } from '../util/errors.ts'
import { PriorityQueue } from '../util/priority-queue.ts'
import { BYTE_TO_CHAR, byteCharactersOf } from './bytes.ts'
import { type BpeModelJson, byteLevelTokenizer, type TokenizerJson } from './format.ts'
import { GPT2_WORDS } from './patterns.ts'

const defaults = {
  /** Tokens in all: special ones, the alphabet, and one for each merge. */
  vocab_size: 30000,
  /** A pair that is seen less often is not merged. */
  min_frequency: 0,
  /** They get the first ids. */
  special_tokens: [] as readonly string[],
  /** Characters (of the byte-level alphabet) that have a token even if the text lacks them. */
  initial_alphabet: BYTE_TO_CHAR,
  /** Begin every text with a space, so that its first word is as those after it. */
  add_prefix_space: false,
}

export interface BpeTrainerOptions extends Partial<typeof defaults> {}

/** Trainer of byte-level BPE (tokenizers.trainers.BpeTrainer). */
export class BpeTrainer {
  private readonly options: Required<BpeTrainerOptions>

  /** @throws UnsupportedOptionError for an option that there is not */
  constructor(options: BpeTrainerOptions = {}) {
    checkOptions('BpeTrainer', options, Object.keys(defaults))
    this.options = { ...defaults, ...options }
    const { vocab_size, special_tokens, initial_alphabet } = this.options
    const least = new Set([...special_tokens, ...initial_alphabet]).size
    if (!Number.isSafeInteger(vocab_size) || vocab_size < least)
      throw new RushlightError(
        `BpeTrainer: vocab_size: expected at least ${least} (special tokens and alphabet), found ${vocab_size}`,
      )
  }

  /** Learns from texts, and gives what a tokenizer.json holds. */
  train_from_iterator(texts: Iterable<string>): TokenizerJson {
    const { special_tokens, add_prefix_space } = this.options
    const words = new Map<string, number>()
    for (const text of texts)
      for (const word of (add_prefix_space && !text.startsWith(' ') ? ` ${text}` : text).match(GPT2_WORDS) ?? [])
        words.set(word, (words.get(word) ?? 0) + 1)
    const added = special_tokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    }))
    return byteLevelTokenizer(this.learn(words), added, { add_prefix_space })
  }

  private learn(words: Map<string, number>): BpeModelJson {
    const { vocab_size, min_frequency, special_tokens, initial_alphabet } = this.options
    const spelled = [...words.keys()].map(byteCharactersOf)
    const tokens = [...new Set(special_tokens)]
    const ids = new Map(tokens.map((token, id) => [token, id]))
    const idOf = (token: string) => {
      const known = ids.get(token)
      if (known !== undefined) return known
      ids.set(token, tokens.length)
      return tokens.push(token) - 1
    }
    for (const char of [...new Set([...initial_alphabet, ...spelled.join('')])].sort()) idOf(char)

    const corpus = new Corpus(
      spelled.map((word) => Array.from(word, idOf)),
      [...words.values()],
    )
    const queue = new PriorityQueue(before)
    const enqueue = (found: Map<number, number[]>) => {
      for (const [pair, places] of found) {
        const count = corpus.pairs.get(pair)!
        if (count > 0) queue.push({ pair, count, places })
      }
    }
    enqueue(corpus.countPairs())

    const merges = new Map<number, [string, string]>()
    while (tokens.length < vocab_size) {
      const top = queue.pop()
      if (!top) break
      const count = corpus.pairs.get(top.pair)!
      if (top.count !== count) {
        // Other merges have taken occurrences since it was queued.
        queue.push({ ...top, count })
        continue
      }
      if (count < Math.max(min_frequency, 1)) break
      const left = Math.floor(top.pair / PAIR)
      const right = top.pair % PAIR
      const merged = idOf(tokens[left] + tokens[right])
      merges.delete(top.pair) // a pair that comes again takes the later rank
      merges.set(top.pair, [tokens[left], tokens[right]])
      enqueue(corpus.merge(left, right, merged, top.places))
    }
    return { vocab: Object.fromEntries(ids), merges: [...merges.values()] }
  }
}

/** A pair of ids as one number: left times this, plus right. */
const PAIR = 2 ** 26

/** The distinct words as ids, and how often each pair of neighbours occurs in the text. */
class Corpus {
  readonly pairs = new Map<number, number>()

  constructor(
    private readonly words: number[][],
    private readonly counts: number[],
  ) {}

  /** Counts all pairs; gives the words in which each occurs. */
  countPairs(): Map<number, number[]> {
    const found = new Map<number, number[]>()
    this.words.forEach((ids, word) => {
      for (let i = 1; i < ids.length; i++) this.change(found, ids[i - 1], ids[i], 1, word)
    })
    return found
  }

  /** Replaces a pair by `merged` in those words; gives the words in which each new pair occurs. */
  merge(left: number, right: number, merged: number, places: number[]): Map<number, number[]> {
    const found = new Map<number, number[]>()
    for (const word of places) {
      const ids = this.words[word]
      for (let i = 0; i + 1 < ids.length; i++) {
        if (ids[i] !== left || ids[i + 1] !== right) continue
        if (i > 0) {
          this.change(found, ids[i - 1], left, -1, word)
          this.change(found, ids[i - 1], merged, 1, word)
        }
        ids.splice(i, 2, merged)
        if (i + 1 < ids.length) {
          this.change(found, right, ids[i + 1], -1, word)
          this.change(found, merged, ids[i + 1], 1, word)
        }
      }
    }
    return found
  }

  private change(found: Map<number, number[]>, left: number, right: number, by: number, word: number): void {
    const pair = left * PAIR + right
    this.pairs.set(pair, (this.pairs.get(pair) ?? 0) + by * this.counts[word])
    if (by < 0) return
    const places = found.get(pair)
    if (!places) found.set(pair, [word])
    else if (places[places.length - 1] !== word) places.push(word)
  }
}

interface Candidate {
  pair: number
  /** Occurrences when it was queued: at least as many as there are now. */
  count: number
  /** Words that hold it, or did. */
  places: number[]
}

/** The most frequent pair comes first; of equal ones, that with the smaller ids. */
function before(a: Candidate, b: Candidate): boolean {
  return a.count !== b.count ? a.count > b.count : a.pair < b.pair
}
