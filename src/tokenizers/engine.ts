// The steps of a tokenizer.json, as Python's tokenizers takes them: text to ids, and ids to text.
import { AddedTokenFinder } from './added-tokens.ts'
import { type DecoderFactory, decoderOf, spaced } from './decoders.ts'
import type { AddedToken, TokenizerJson } from './format.ts'
import { type Model, modelOf } from './models.ts'
import { type Normalizer, normalizerOf } from './normalizers.ts'
import { type PreTokenizer, preTokenizerOf } from './pre-tokenizers.ts'
import { type Template, templateOf } from './template.ts'

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
  private raw!: AddedTokenFinder // of tokens that are looked for in the text as it is given
  private normalized!: AddedTokenFinder // and of those looked for in the normalized text

  constructor(json: TokenizerJson) {
    this.normalize = json.normalizer && normalizerOf(json.normalizer)
    this.cut = json.pre_tokenizer && preTokenizerOf(json.pre_tokenizer)
    this.model = modelOf(json.model)
    this.type = json.model.type
    this.template = templateOf(json.post_processor)
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
    const skipped = splitSpecial ? (token: AddedToken) => this.isSpecial(token.id) : undefined
    const ids: number[] = []
    let first = true
    for (const outer of this.raw.split(text, skipped)) {
      const inner =
        typeof outer === 'number'
          ? [outer]
          : this.normalized.split(this.normalize ? this.normalize(outer) : outer, skipped)
      for (const section of inner) {
        if (typeof section === 'number') ids.push(section)
        else
          for (const word of this.cut ? this.cut(section, first) : [section])
            for (const id of this.model.encode(word)) ids.push(id)
        first = false
      }
    }
    return ids
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
