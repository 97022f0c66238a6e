// The steps of a tokenizer.json, as Python's tokenizers takes them: text to ids, and ids to text.
import { AddedTokenFinder, type Section } from './added-tokens.ts'
import { Aligned, type Editable } from './aligned.ts'
import { type DecoderFactory, decoderOf, spaced } from './decoders.ts'
import type { AddedToken, Component, TokenizerJson } from './format.ts'
import { type Model, modelOf } from './models.ts'
import { type Normalizer, normalizerOf } from './normalizers.ts'
import { type PreTokenizer, preTokenizerOf } from './pre-tokenizers.ts'
import { type Template, templateOf } from './template.ts'

/** Ids of a text, the ranges of the text that they stand for (in UTF-16 units), and the word that each is of. */
export interface Tokens {
  ids: number[]
  starts: number[]
  ends: number[]
  words: number[]
  /** Where the range of a token begins that is the first of a row: it may have a space before it that others have not. */
  leads: number[]
}

export class Engine {
  readonly model: Model
  /** The kind of model, such as BPE. */
  readonly type: string
  readonly template: Template
  /** Tokens beside the model's, by id. */
  readonly added = new Map<number, AddedToken>()
  private readonly addedIds = new Map<string, number>()
  private readonly specialIds = new Set<number>()
  private readonly names: (string | undefined)[] = [] // tokens by id
  private readonly normalize: Normalizer | null
  private readonly cut: PreTokenizer | null
  /** Makes a decoder of one sequence. */
  readonly decoder: DecoderFactory
  private readonly trims: readonly Component[] // post-processors that trim offsets
  private raw!: AddedTokenFinder // of tokens that are looked for in the text as it is given
  private normalized!: AddedTokenFinder // and of those looked for in the normalized text

  constructor(json: TokenizerJson) {
    this.normalize = json.normalizer && normalizerOf(json.normalizer)
    this.cut = json.pre_tokenizer && preTokenizerOf(json.pre_tokenizer)
    this.model = modelOf(json.model)
    this.type = json.model.type
    this.template = templateOf(json.post_processor)
    this.trims = processorsOf(json.post_processor).filter(
      ({ type, trim_offsets }) => /^(ByteLevel|RobertaProcessing)$/.test(type) && trim_offsets !== false,
    )
    this.decoder = json.decoder ? decoderOf(json.decoder) : spaced
    for (const [token, id] of this.model.vocab) this.names[id] = token
    this.add(json.added_tokens)
  }

  /** Adds tokens; one without an id has that of the vocabulary, or a new one. */
  add(tokens: Iterable<Omit<AddedToken, 'id'> & { id?: number }>): void {
    for (const token of tokens) {
      if (token.content === '') continue
      const id = this.idOf(token.content) ?? token.id ?? this.names.length
      const before = this.added.get(id)
      this.added.set(id, { ...token, id })
      this.addedIds.set(token.content, id)
      // Where normalized, the decoder is to undo that too.
      this.names[id] = token.normalized && this.normalize ? this.normalize(token.content) : token.content
      if (token.special || before?.special) this.specialIds.add(id)
    }
    const all = [...this.added.values()]
    this.raw = new AddedTokenFinder(all.filter((token) => !token.normalized).map((token) => [token.content, token]))
    this.normalized = new AddedTokenFinder(
      all.filter((token) => token.normalized).map((token) => [this.names[token.id]!, token]),
    )
  }

  /** Number of tokens, the added ones among them. */
  get size(): number {
    return new Set([...this.model.vocab.keys(), ...this.addedIds.keys()]).size
  }

  /** Tokens and their ids. */
  vocab(): Map<string, number> {
    return new Map([...this.model.vocab, ...this.addedIds])
  }

  idOf(token: string): number | undefined {
    return this.addedIds.get(token) ?? this.model.vocab.get(token)
  }

  tokenOf(id: number): string | undefined {
    return this.names[id]
  }

  /** What was added for a token, if it was. */
  addedToken(content: string): AddedToken | undefined {
    const id = this.addedIds.get(content)
    return id === undefined ? undefined : this.added.get(id)
  }

  isSpecial(id: number): boolean {
    return this.specialIds.has(id)
  }

  /** Ids of a text, without the template's tokens. @param splitSpecial special tokens in the text are text */
  encode(text: string, splitSpecial = false): number[] {
    const ids: number[] = []
    const found = (section: Section) => ids.push(section.id!)
    this.eachWord(
      text,
      splitSpecial,
      (start, end) => text.slice(start, end),
      found,
      (word) => {
        for (const id of this.model.encode(word)) ids.push(id)
      },
    )
    return ids
  }

  /** Ids of a text, and where in it each one's token stands. It takes longer than encode. */
  encodeWithOffsets(text: string, splitSpecial = false): Tokens {
    const tokens: Tokens = { ids: [], starts: [], ends: [], words: [], leads: [] }
    const add = (id: number, [start, end]: readonly [number, number]) => {
      tokens.ids.push(id)
      tokens.starts.push(start)
      tokens.ends.push(end)
      tokens.words.push(word)
      tokens.leads.push(start)
    }
    const texts = new Map<number, string>()
    let word = 0
    this.eachWord(
      text,
      splitSpecial,
      (start, end) => Aligned.of(text.slice(start, end), start),
      (section, from) => {
        texts.set(tokens.ids.length, (from?.toString() ?? text).slice(section.start, section.end))
        add(section.id!, from ? from.source(section.start, section.end) : [section.start, section.end])
        word++
      },
      (piece) => {
        const ids = this.model.encode(piece.toString())
        const spans = this.model.spans(piece.toString(), ids)
        ids.forEach((id, i) => add(id, piece.source(...spans[i])))
        word++
      },
    )
    this.trim(text, tokens, texts)
    return tokens
  }

  /** Ids of words, each tokenized by itself, and where in them each one's token stands. */
  encodeWords(words: readonly string[], splitSpecial = false): Tokens {
    const all: Tokens = { ids: [], starts: [], ends: [], words: [], leads: [] }
    words.forEach((word, i) => {
      const { ids, starts, ends, leads } = this.encodeWithOffsets(word, splitSpecial)
      all.leads.push(...leads)
      all.ids.push(...ids)
      all.starts.push(...starts)
      all.ends.push(...ends)
      all.words.push(...ids.map(() => i))
    })
    return all
  }

  /** Walks over the added tokens of a text and the words between them. @param take a part of the text, to normalize and split */
  private eachWord<T extends Editable<T>>(
    text: string,
    splitSpecial: boolean,
    take: (start: number, end: number) => T,
    found: (token: Section, within?: T) => void,
    piece: (word: T) => void,
  ): void {
    const skipped = splitSpecial ? (token: AddedToken) => this.isSpecial(token.id) : undefined
    let first = true
    for (const outer of this.raw.split(text, skipped)) {
      if (outer.id !== undefined) found(outer)
      else {
        const given = take(outer.start, outer.end)
        const normalized = this.normalize ? this.normalize(given) : given
        for (const inner of this.normalized.split(normalized.toString(), skipped)) {
          if (inner.id !== undefined) found(inner, normalized)
          else {
            const section = normalized.slice(inner.start, inner.end)
            if (this.cut) for (const word of this.cut(section, first)) piece(word)
            else piece(section)
          }
          first = false
        }
      }
      first = false
    }
  }

  /** Byte-level post-processors take the spaces around a token out of its offsets. @param texts of the added tokens among them */
  private trim(text: string, { ids, starts, ends, leads }: Tokens, texts: ReadonlyMap<number, string>): void {
    for (const { add_prefix_space: prefixed } of this.trims)
      ids.forEach((id, i) => {
        const token = texts.get(i) ?? this.names[id] ?? ''
        const [all] = /^[\p{White_Space}\u0120]*/u.exec(token)!
        const trailing = token.length - token.replace(/[\p{White_Space}\u0120]+$/u, '').length
        // A single space at the beginning may be the one that was put there.
        const put = all.length === 1 && prefixed !== false
        leads[i] = Math.min(moved(text, leads[i], put ? 0 : all.length), ends[i])
        starts[i] =
          put && (i === 0 || starts[i] === 0) ? leads[i] : Math.min(moved(text, starts[i], all.length), ends[i])
        ends[i] = Math.max(moved(text, ends[i], -trailing), starts[i])
      })
  }

  /** Tokens of ids, as the decoder takes them; ids that there are not are left out. */
  tokensToDecode(ids: Iterable<number | bigint>, skipSpecial: boolean): string[] {
    const tokens: string[] = []
    for (const given of ids) {
      const id = Number(given)
      const name = this.names[id]
      if (name !== undefined && !(skipSpecial && this.specialIds.has(id))) tokens.push(name)
    }
    return tokens
  }

  /** Text of tokens. */
  decode(tokens: readonly string[]): string {
    const decoder = this.decoder()
    return [...decoder.push(tokens), ...decoder.end()].join('')
  }
}

/** A post-processor, or those of a Sequence. */
function processorsOf(description: Component | null): Component[] {
  if (!description) return []
  return description.type === 'Sequence' ? (description.processors as Component[]).flatMap(processorsOf) : [description]
}

/** A position moved by so many characters. */
function moved(text: string, at: number, by: number): number {
  for (; by > 0 && at < text.length; by--) at += text.codePointAt(at)! > 0xffff ? 2 : 1
  for (; by < 0 && at > 0; by++) at -= text.codePointAt(at - 2)! > 0xffff ? 2 : 1
  return at
}
