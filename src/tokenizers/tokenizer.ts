// PreTrainedTokenizer: a tokenizer with the interface of transformers. Text to model inputs, ids to text, chats to prompts.
import { filesIn, type SaveTarget, writeText } from '../io/saving.ts'
import { Tensor } from '../tensor/tensor.ts'
import { Callable } from '../util/callable.ts'
import { checkOptions, RushlightError, UnsupportedOptionError, unsupported } from '../util/errors.ts'
import { pythonJson } from '../util/json.ts'
import {
  addedBy,
  type DetailedRow,
  fill,
  lengthsOf,
  type PaddingStrategy,
  pad,
  type Row,
  type Side,
  type TextIds,
  truncate,
  type TruncationStrategy,
} from './batch.ts'
import {
  type ChatMessage,
  type ChatTemplate,
  type ChatVariables,
  chooseTemplate,
  loadTemplateEngine,
  templateEngine,
} from './chat.ts'
import { cleanUp } from './decoders.ts'
import {
  BatchEncoding,
  type Encoded,
  type CharSpan,
  type Encodings,
  type Origins,
  pairsToTensor,
  rowsToTensor,
} from './encoding.ts'
import { Engine } from './engine.ts'
import type { AddedToken, TokenContent, TokenizerConfig, TokenizerJson } from './format.ts'
import { PLAIN, type Part, type Template } from './template.ts'

/** Options of a tokenizer's call. */
export interface EncodeOptions {
  /** The second text, or texts, where it is not given as the second argument. */
  text_pair?: string | readonly string[] | readonly (readonly string[])[] | null
  /** Put the model's special tokens around the text (default true). */
  add_special_tokens?: boolean
  /** Fill up to the longest of the batch (true), or to `max_length`. */
  padding?: boolean | PaddingStrategy
  /** Cut to `max_length`, or to what the model takes. Of a pair, the longer text is cut first. */
  truncation?: boolean | TruncationStrategy | null
  max_length?: number | null
  pad_to_multiple_of?: number | null
  padding_side?: Side | null
  truncation_side?: Side | null
  /** 'pt' gives tensors of int64, always with a batch dimension. */
  return_tensors?: 'pt' | null
  /** transformers.js's spelling of return_tensors: 'pt'. */
  return_tensor?: boolean
  return_attention_mask?: boolean | null
  return_token_type_ids?: boolean | null
  return_special_tokens_mask?: boolean
  /** The range of the text that each token stands for, as `text.slice(start, end)` takes it. */
  return_offsets_mapping?: boolean
  return_length?: boolean
  /** Gives what truncation cuts off as further rows, and which text each row is of (`overflow_to_sample_mapping`). */
  return_overflowing_tokens?: boolean
  /** How many ids such a row has of the one before. */
  stride?: number
  /** Each text is a list of words; offsets are within them. */
  is_split_into_words?: boolean
  /** Special tokens in the text are text like any other. */
  split_special_tokens?: boolean | null
}

const ENCODE_OPTIONS = [
  'text_pair',
  'add_special_tokens',
  'padding',
  'truncation',
  'max_length',
  'pad_to_multiple_of',
  'padding_side',
  'truncation_side',
  'return_tensors',
  'return_tensor',
  'return_attention_mask',
  'return_token_type_ids',
  'return_special_tokens_mask',
  'return_offsets_mapping',
  'return_length',
  'return_overflowing_tokens',
  'stride',
  'is_split_into_words',
  'split_special_tokens',
] as const satisfies readonly (keyof EncodeOptions)[]

/** Options of Python's that are accepted where they ask for nothing. */
const WITHOUT_EFFECT: Record<string, unknown> = {
  verbose: undefined, // any value
}

/** Options of pad. */
export type PadOptions = Pick<
  EncodeOptions,
  'padding' | 'max_length' | 'pad_to_multiple_of' | 'padding_side' | 'return_attention_mask' | 'return_tensors'
>

const PAD_OPTIONS = [
  'padding',
  'max_length',
  'pad_to_multiple_of',
  'padding_side',
  'return_attention_mask',
  'return_tensors',
] as const satisfies readonly (keyof PadOptions)[]

/** Options of decode. */
export interface DecodeOptions {
  skip_special_tokens?: boolean
  /** Take back the spaces before punctuation. Default: as the tokenizer is configured. Has no effect on BPE, whose text it would harm. */
  clean_up_tokenization_spaces?: boolean | null
}

/** Ids of one sequence. */
export type TokenIds = number | bigint | ArrayLike<number> | ArrayLike<bigint> | Tensor

/** Options of apply_chat_template. All others are variables for the template, such as `enable_thinking`. */
export interface ChatOptions extends ChatVariables {
  /** A template, or the name of one of the tokenizer's. */
  chat_template?: string | null
  /** End with what begins the assistant's turn. */
  add_generation_prompt?: boolean
  /** Leave the last message open, so that the model continues it; a string names the field to continue. */
  continue_final_message?: boolean | string
  /** false gives the text instead of ids (default true). */
  tokenize?: boolean
  /** false gives the ids alone (default true). */
  return_dict?: boolean
  padding?: EncodeOptions['padding']
  truncation?: EncodeOptions['truncation']
  max_length?: number | null
  return_tensors?: 'pt' | null
  return_tensor?: boolean
  /** Adds `assistant_masks`: 1 for tokens in the template's generation blocks. */
  return_assistant_tokens_mask?: boolean
  /** More options for the tokenizer's call. */
  tokenizer_kwargs?: EncodeOptions
}

/** Special tokens that have a name, in transformers' order. */
const NAMED = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'] as const
type NamedToken = (typeof NAMED)[number]

type NamedTokens = { [name in NamedToken]: string | null } & { readonly [name in `${NamedToken}_id`]: number | null }

/** One text, or its words. */
type Text = string | readonly string[]

/** A text and the one that goes with it. */
type Texts = readonly [text: Text, pair: Text | null]

/** Columns of one row, by name. */
type Columns = Record<string, number[]>

/** Columns that say where ids come from. */
const ORIGINS = ['starts', 'ends', 'words', 'sequences'] as const

/** One text, or a batch of them. */
type TextOrBatch = Text | readonly Text[]

type CallArguments = [text: TextOrBatch, text_pair?: TextOrBatch | EncodeOptions | null, options?: EncodeOptions]

/** Classes of transformers whose models tell two texts apart by token types. */
const WITH_TOKEN_TYPES =
  /^(Bert|MobileBert|Electra|DPR\w+|Lxmert|MarkupLM|Canine|Deberta|DebertaV2|LayoutLMv2|Tapas)Tokenizer(Fast)?$/
/** Classes of transformers that pad on the left. */
const PADS_LEFT = /^(Llama|CodeLlama|Gemma|Cohere|XLNet|Siglip2)Tokenizer(Fast)?$/

/**
 * A tokenizer: call it with a text, or a list of them, and get a model's inputs.
 * Made by AutoTokenizer.from_pretrained, or from the contents of tokenizer.json and tokenizer_config.json.
 */
export class PreTrainedTokenizer extends Callable<CallArguments, BatchEncoding> {
  /** Longest sequence that the model takes; beyond 1e20, none is set. */
  model_max_length: number
  padding_side: Side
  truncation_side: Side
  /** Names of the inputs that a call gives. */
  model_input_names: string[]
  clean_up_tokenization_spaces: boolean
  split_special_tokens: boolean
  /** The template of chats, or several by name. */
  chat_template: ChatTemplate | null
  readonly config: TokenizerConfig
  private readonly json: TokenizerJson
  /** @internal */
  readonly engine: Engine
  private readonly named: Partial<Record<NamedToken, string>> = {}
  private readonly extra: string[] = []

  constructor(json: TokenizerJson, config: TokenizerConfig = {}) {
    super()
    this.json = json
    this.config = config
    this.engine = new Engine(json)
    const name = config.tokenizer_class ?? ''
    this.model_max_length = config.model_max_length ?? 1e30
    this.padding_side = side('padding_side', config.padding_side ?? (PADS_LEFT.test(name) ? 'left' : 'right'))
    this.truncation_side = side('truncation_side', config.truncation_side ?? 'right')
    this.model_input_names =
      config.model_input_names ??
      (WITH_TOKEN_TYPES.test(name)
        ? ['input_ids', 'token_type_ids', 'attention_mask']
        : ['input_ids', 'attention_mask'])
    this.clean_up_tokenization_spaces = config.clean_up_tokenization_spaces ?? false
    this.split_special_tokens = config.split_special_tokens === true
    this.chat_template = chatTemplateOf(config.chat_template)
    this.addConfigured(config)
  }

  /** Adds the tokens that the config names beside those of tokenizer.json. */
  private addConfigured(config: TokenizerConfig): void {
    const tokens: (Omit<AddedToken, 'id'> & { id?: number })[] = []
    for (const [id, token] of Object.entries(config.added_tokens_decoder ?? {}))
      tokens.push({ ...PLAIN_TOKEN, ...token, id: Number(id) })
    const special = (token: TokenContent) => {
      const content = typeof token === 'string' ? token : token.content
      if (this.engine.addedToken(content)?.special !== true)
        tokens.push({
          ...PLAIN_TOKEN,
          normalized: false,
          ...(typeof token === 'string' ? {} : token),
          content,
          special: true,
        })
      return content
    }
    for (const name of NAMED) if (config[name] != null) this.named[name] = special(config[name] as TokenContent)
    const extra = config.extra_special_tokens ?? config.additional_special_tokens ?? []
    for (const token of Object.values(extra as TokenContent[])) this.extra.push(special(token))
    this.engine.add(tokens)
  }

  // ---- text to ids

  /** What a call does: `tokenizer(text, options)`, `tokenizer(text, text_pair, options)`, or with lists of texts. */
  override _call(
    text: TextOrBatch,
    text_pair?: TextOrBatch | EncodeOptions | null,
    options?: EncodeOptions,
  ): BatchEncoding {
    const isOptions = typeof text_pair === 'object' && text_pair !== null && !Array.isArray(text_pair)
    const given = { ...(isOptions ? (text_pair as EncodeOptions) : options) }
    const pair =
      (isOptions ? given.text_pair : (text_pair as TextOrBatch | null | undefined)) ?? given.text_pair ?? null
    this.checkEncodeOptions(given)
    const words = given.is_split_into_words === true
    const one = isOneText(text, words)
    if (pair !== null && isOneText(pair, words) !== one)
      throw new RushlightError(
        one
          ? 'tokenizer: text_pair: expected one text, as text is one, found a list'
          : 'tokenizer: text_pair: expected a list as long as that of text, found one text',
      )
    const texts = (one ? [text] : text) as readonly Text[]
    const pairs = (one && pair !== null ? [pair || null] : pair) as readonly (Text | null)[] | null
    checkTexts('text', texts, words)
    if (pairs !== null && pairs[0] !== null) checkTexts('text_pair', pairs, words)
    if (pairs !== null && pairs.length !== texts.length)
      throw new RushlightError(
        `tokenizer: text_pair: expected ${texts.length} texts, as in text, found ${pairs.length}`,
      )
    return this.collect(
      texts.map((text, i) => [text, pairs?.[i] ?? null]),
      given,
      one,
    )
  }

  private checkEncodeOptions(options: EncodeOptions): void {
    for (const [name, value] of Object.entries(options)) {
      if ((ENCODE_OPTIONS as readonly string[]).includes(name)) continue
      const neutral =
        Object.hasOwn(WITHOUT_EFFECT, name) && (WITHOUT_EFFECT[name] === undefined || WITHOUT_EFFECT[name] === value)
      if (!neutral)
        throw new UnsupportedOptionError(
          `tokenizer: unsupported option ${name}. Supported: ${ENCODE_OPTIONS.join(', ')}`,
        )
    }
    if (options.return_tensors != null && options.return_tensors !== 'pt')
      throw unsupported('tokenizer', 'return_tensors', options.return_tensors, ['pt', null])
  }

  private lengths(options: EncodeOptions) {
    return lengthsOf(options.padding, options.truncation, options.max_length, this.model_max_length)
  }

  /** One text, or pair, truncated and in its template; what was cut off as rows of its own. @param detailed with where the ids come from */
  private rowsOf([text, pair]: Texts, options: EncodeOptions, detailed: boolean): (Row & Partial<DetailedRow>)[] {
    const special = options.add_special_tokens ?? true
    const split = options.split_special_tokens ?? this.split_special_tokens
    const template = this.template()
    const { truncation, max_length } = this.lengths(options)
    const encode = (one: Text): TextIds => {
      if (typeof one !== 'string') return this.engine.encodeWords(one, split)
      return detailed ? this.engine.encodeWithOffsets(one, split) : { ids: this.engine.encode(one, split) }
    }
    const first = encode(text)
    const second = pair === null ? null : encode(pair)
    if (max_length === null || truncation === 'do_not_truncate') return [fill(template, first, second, special)]
    const room = max_length - (special ? addedBy(second ? template.pair : template.single) : 0)
    if (room < 0)
      throw new RushlightError(
        `tokenizer: max_length: expected room for the ${max_length - room} special tokens, found ${max_length}`,
      )
    const to = side('truncation_side', options.truncation_side ?? this.truncation_side)
    const { return_overflowing_tokens: overflowing, stride = 0 } = options
    if (overflowing && second !== null && truncation === 'longest_first')
      throw unsupported('tokenizer', 'return_overflowing_tokens with two texts and truncation', truncation, [
        'only_first',
        'only_second',
      ])
    const cuts = truncate(first, second, room, truncation, to, stride)
    return (overflowing ? cuts : cuts.slice(0, 1)).map((cut) => fill(template, ...cut, special))
  }

  /** The template, around which bos and eos stand where the config asks for them. */
  private template(): Template {
    const { add_bos_token, add_eos_token } = this.config
    if (add_bos_token == null && add_eos_token == null) return this.engine.template
    const special = (name: 'bos_token' | 'eos_token', wanted: unknown, type: number): Part[] => {
      const id = this.idOfNamed(name)
      return wanted && id !== null ? [{ ids: [id], type }] : []
    }
    const around = (part: Part) => [
      ...special('bos_token', add_bos_token, part.type),
      part,
      ...special('eos_token', add_eos_token, part.type),
    ]
    return { single: PLAIN.single.flatMap(around), pair: PLAIN.pair.flatMap(around) }
  }

  /** Rows of the columns that were asked for, padded, and the text that each is of. */
  private rows(texts: readonly Texts[], options: EncodeOptions, names: readonly (keyof DetailedRow)[]) {
    const detailed = names.includes('starts')
    const rows: Columns[] = []
    const samples: number[] = []
    texts.forEach((one, i) => {
      for (const row of this.rowsOf(one, options, detailed)) {
        rows.push(Object.fromEntries(names.map((name) => [name, row[name] ?? []])))
        samples.push(i)
      }
    })
    const { padding, max_length } = this.lengths(options)
    if (padding !== 'do_not_pad') this.padRows(rows, padding === 'max_length' ? max_length : null, options)
    return { rows, samples }
  }

  private collect(texts: readonly Texts[], options: EncodeOptions, one: boolean): BatchEncoding {
    const overflowing = options.return_overflowing_tokens === true
    const single = one && !overflowing
    const wanted = this.wantedNames(options)
    const offsets = options.return_offsets_mapping === true
    const { rows, samples } = this.rows(texts, options, offsets ? [...wanted, ...ORIGINS] : wanted)
    const tensors = options.return_tensors === 'pt' || options.return_tensor === true
    const values = wanted.map((name): [string, Encoded] => {
      const column = rows.map((row) => row[name])
      if (tensors) return [name, rowsToTensor(column)]
      return [name, single ? column[0] : column]
    })
    const encodings = Object.fromEntries(values) as unknown as Encodings<Encoded>
    if (offsets) {
      const pairs = rows.map(({ starts, ends }) => starts.map((start, i): [number, number] => [start, ends[i]]))
      if (tensors) encodings.offset_mapping = pairsToTensor(pairs)
      else encodings.offset_mapping = single ? pairs[0] : pairs
    }
    if (options.return_length) {
      const lengths = rows.map(({ input_ids }) => input_ids.length)
      encodings.length = tensors ? Tensor.from(BigInt64Array.from(lengths, BigInt), [lengths.length], 'int64') : lengths
    }
    if (overflowing)
      encodings.overflow_to_sample_mapping = tensors
        ? Tensor.from(BigInt64Array.from(samples, BigInt), [samples.length], 'int64')
        : samples
    const given = { ...options }
    return new BatchEncoding(encodings, () => this.originsOf(texts, given))
  }

  /** Where the ids of texts come from. */
  private originsOf(texts: readonly Texts[], options: EncodeOptions): Origins[] {
    return this.rows(texts, options, ['input_ids', 'attention_mask', ...ORIGINS]).rows.map(
      ({ input_ids, starts, ends, words, sequences }) => ({
        tokens: this.convert_ids_to_tokens(input_ids),
        starts,
        ends,
        words,
        sequences,
      }),
    )
  }

  private wantedNames(options: EncodeOptions): (keyof Row)[] {
    const names: (keyof Row)[] = ['input_ids']
    if (options.return_token_type_ids ?? this.model_input_names.includes('token_type_ids')) names.push('token_type_ids')
    if (options.return_attention_mask ?? this.model_input_names.includes('attention_mask')) names.push('attention_mask')
    if (options.return_special_tokens_mask) names.push('special_tokens_mask')
    return names
  }

  private padRows(rows: Record<string, number[]>[], length: number | null, options: EncodeOptions): void {
    const { pad_token_id } = this
    if (pad_token_id === null)
      throw new RushlightError(
        'tokenizer: padding: the tokenizer has no padding token. Hint: tokenizer.pad_token = tokenizer.eos_token',
      )
    const multiple = options.pad_to_multiple_of ?? null
    const { truncation, max_length } = this.lengths(options)
    if (multiple && truncation !== 'do_not_truncate' && max_length !== null && max_length % multiple !== 0)
      throw new RushlightError(
        `tokenizer: max_length: expected a multiple of pad_to_multiple_of (${multiple}), found ${max_length}`,
      )
    const fillers = {
      input_ids: pad_token_id,
      attention_mask: 0,
      token_type_ids: this.pad_token_type_id,
      special_tokens_mask: 1,
      words: -1,
      sequences: -1,
    }
    pad(rows, fillers, length, multiple, side('padding_side', options.padding_side ?? this.padding_side))
  }

  /**
   * Pads sequences that a tokenizer gave one by one: a list of encodings, or one with lists of rows.
   * @returns rows of one length, with their attention_mask where the model takes one
   */
  pad(encoded_inputs: readonly object[] | object, options: PadOptions = {}): BatchEncoding {
    checkOptions('pad', options, PAD_OPTIONS)
    const { padding = true, return_attention_mask, return_tensors } = options
    const encodings = (Array.isArray(encoded_inputs) ? columnsOf(encoded_inputs) : Object.entries(encoded_inputs)) as [
      string,
      unknown,
    ][]
    const columns = encodings.map(([name, rows]): [string, number[][]] => [name, listOfRows(name, rows)])
    const ids = columns.find(([name]) => name === 'input_ids')?.[1]
    if (!ids) throw new RushlightError('pad: expected input_ids, found none')
    const rows = ids.map((_, i): Columns => Object.fromEntries(columns.map(([name, values]) => [name, [...values[i]]])))
    if (return_attention_mask ?? this.model_input_names.includes('attention_mask'))
      for (const row of rows) row.attention_mask ??= row.input_ids.map(() => 1)
    const { padding: strategy, max_length } = this.lengths({ ...options, padding, truncation: false })
    if (strategy !== 'do_not_pad') this.padRows(rows, strategy === 'max_length' ? max_length : null, options)
    const names = Object.keys(rows[0] ?? {})
    const values = names.map((name): [string, Encoded] => {
      const column = rows.map((row) => row[name])
      return [name, return_tensors === 'pt' ? rowsToTensor(column) : column]
    })
    return new BatchEncoding(Object.fromEntries(values) as unknown as Encodings<Encoded>)
  }

  /** Ids of a text, with special tokens around it unless told otherwise. */
  encode(text: string, text_pair?: string | EncodeOptions | null, options?: EncodeOptions): number[] {
    return this._call(text, text_pair, options).input_ids as number[]
  }

  /** Tokens of a text, without special tokens around it unless told otherwise. */
  tokenize(text: string, options: EncodeOptions = {}): string[] {
    return this.convert_ids_to_tokens(this.encode(text, { add_special_tokens: false, ...options }))
  }

  // ---- ids to text

  /** Text of ids; of a list of sequences, the text of each. @throws RushlightError for a tensor of two dimensions */
  decode(token_ids: TokenIds, options?: DecodeOptions): string
  decode(token_ids: readonly TokenIds[], options?: DecodeOptions): string[]
  decode(token_ids: TokenIds | readonly TokenIds[], options: DecodeOptions = {}): string | string[] {
    if (Array.isArray(token_ids) && typeof token_ids[0] === 'object') return this.batch_decode(token_ids, options)
    checkOptions('decode', options, ['skip_special_tokens', 'clean_up_tokenization_spaces'])
    const text = this.engine.decode(
      this.engine.tokensToDecode(idList('decode', token_ids as TokenIds), options.skip_special_tokens ?? false),
    )
    return this.cleansUp(options) ? cleanUp(text) : text
  }

  /** @internal Whether decode takes back spaces before punctuation. */
  cleansUp(options: DecodeOptions): boolean {
    return (options.clean_up_tokenization_spaces ?? this.clean_up_tokenization_spaces) && this.engine.type !== 'BPE'
  }

  /** Texts of several sequences, or of the rows of a tensor. */
  batch_decode(sequences: readonly TokenIds[] | Tensor, options: DecodeOptions = {}): string[] {
    const rows = isTensor(sequences) ? (sequences.tolist() as TokenIds[]) : sequences
    if (!Array.isArray(rows)) throw new RushlightError('batch_decode: expected sequences of ids, found one id')
    return rows.map((row) => this.decode(row, options))
  }

  /** Text of tokens. */
  convert_tokens_to_string(tokens: readonly string[]): string {
    return this.engine.decode(tokens)
  }

  // ---- the vocabulary

  /** Ids of tokens; those that there are not have the unknown token's, or null. */
  convert_tokens_to_ids(tokens: string): number | null
  convert_tokens_to_ids(tokens: readonly string[]): (number | null)[]
  convert_tokens_to_ids(tokens: string | readonly string[]): number | null | (number | null)[] {
    const idOf = (token: string) => this.engine.idOf(token) ?? this.idOfNamed('unk_token')
    return typeof tokens === 'string' ? idOf(tokens) : tokens.map(idOf)
  }

  /** Tokens of ids. @throws RushlightError for an id that there is not */
  convert_ids_to_tokens(ids: number, options?: { skip_special_tokens?: boolean }): string
  convert_ids_to_tokens(ids: Exclude<TokenIds, number | bigint>, options?: { skip_special_tokens?: boolean }): string[]
  convert_ids_to_tokens(ids: TokenIds, options: { skip_special_tokens?: boolean } = {}): string | string[] {
    const tokenOf = (id: number) => {
      const token = this.engine.tokenOf(id)
      if (token === undefined)
        throw new RushlightError(`convert_ids_to_tokens: there is no token ${id} among ${this.length}`)
      return token
    }
    if (typeof ids === 'number') return tokenOf(ids)
    const skipped = new Set(options.skip_special_tokens ? this.all_special_ids : [])
    return idList('convert_ids_to_tokens', ids)
      .filter((id) => !skipped.has(id))
      .map(tokenOf)
  }

  /** All tokens and their ids, the added ones among them. */
  get_vocab(): Record<string, number> {
    return Object.fromEntries(this.engine.vocab())
  }

  /** Tokens of the model, without those added to it. */
  get vocab_size(): number {
    return this.engine.model.vocab.size
  }

  /** All tokens (Python's `len(tokenizer)`). */
  override get length(): number {
    return this.engine.size
  }

  /** Added tokens by id. */
  get added_tokens_decoder(): Record<number, AddedToken> {
    return Object.fromEntries(this.engine.added)
  }

  /** Added tokens and their ids. */
  get_added_vocab(): Record<string, number> {
    return Object.fromEntries([...this.engine.added.values()].map(({ content, id }) => [content, id]))
  }

  /** Named special tokens: `{ bos_token: '<s>', … }`. */
  get special_tokens_map(): Partial<Record<NamedToken, string>> {
    return Object.fromEntries(
      NAMED.filter((name) => this.named[name] !== undefined).map((name) => [name, this.named[name]]),
    )
  }

  /** Special tokens beside the named ones. */
  get extra_special_tokens(): string[] {
    return [...this.extra]
  }

  get all_special_tokens(): string[] {
    return [...new Set([...Object.values(this.special_tokens_map), ...this.extra])]
  }

  get all_special_ids(): number[] {
    return this.all_special_tokens.map((token) => this.engine.idOf(token)!)
  }

  get pad_token_type_id(): number {
    return typeof this.config.pad_token_type_id === 'number' ? this.config.pad_token_type_id : 0
  }

  /** How many special tokens a call adds. */
  num_special_tokens_to_add(pair = false): number {
    const template = this.template()
    return addedBy(pair ? template.pair : template.single)
  }

  /** Adds tokens that the text is searched for; returns how many are new. The model's embeddings are to grow with them. */
  add_tokens(tokens: TokenContent | readonly TokenContent[], { special_tokens = false } = {}): number {
    const before = this.engine.size
    const list = (Array.isArray(tokens) ? tokens : [tokens]) as readonly TokenContent[]
    this.engine.add(
      list.map((token) => ({
        ...PLAIN_TOKEN,
        normalized: !special_tokens,
        ...(typeof token === 'string' ? { content: token } : token),
        ...(special_tokens ? { special: true } : {}),
      })),
    )
    return this.engine.size - before
  }

  /** Names special tokens, such as `{ pad_token: '[PAD]' }`, and adds those that are new; returns how many. */
  add_special_tokens(
    tokens: Partial<Record<NamedToken, TokenContent>> & { extra_special_tokens?: readonly TokenContent[] },
  ): number {
    checkOptions('add_special_tokens', tokens, [...NAMED, 'extra_special_tokens'])
    const { extra_special_tokens, ...named } = tokens
    const added = this.add_tokens([...Object.values(named), ...(extra_special_tokens ?? [])], { special_tokens: true })
    for (const [name, token] of Object.entries(named)) this.named[name as NamedToken] = contentOf(token)
    if (extra_special_tokens) this.extra.splice(0, this.extra.length, ...extra_special_tokens.map(contentOf))
    return added
  }

  /** @internal */
  namedToken(name: NamedToken, token?: string | null): string | null {
    if (token === null) delete this.named[name]
    else if (token !== undefined) {
      if (this.engine.idOf(token) === undefined) this.add_tokens(token, { special_tokens: true })
      this.named[name] = token
    }
    return this.named[name] ?? null
  }

  /** @internal */
  idOfNamed(name: NamedToken): number | null {
    const token = this.named[name]
    return token === undefined ? null : (this.engine.idOf(token) ?? null)
  }

  // ---- chats

  /** Loads what renders chat templates. from_pretrained does so; a tokenizer made by hand needs it before apply_chat_template. */
  static async load_template_engine(): Promise<void> {
    await loadTemplateEngine()
  }

  /** The template that apply_chat_template would use. */
  get_chat_template(chat_template?: string | null, tools?: readonly object[] | null): string {
    return chooseTemplate(this.chat_template, chat_template, tools != null)
  }

  /**
   * A conversation, or a list of them, as the model's input: a BatchEncoding, ids (`return_dict: false`) or text
   * (`tokenize: false`).
   */
  apply_chat_template(conversation: readonly ChatMessage[], options: ChatOptions & { tokenize: false }): string
  apply_chat_template(
    conversation: readonly (readonly ChatMessage[])[],
    options: ChatOptions & { tokenize: false },
  ): string[]
  apply_chat_template(
    conversation: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
    options: ChatOptions & { return_dict: false },
  ): Encoded
  apply_chat_template(
    conversation: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
    options?: ChatOptions,
  ): BatchEncoding
  apply_chat_template(
    conversation: readonly ChatMessage[] | readonly (readonly ChatMessage[])[],
    options: ChatOptions = {},
  ): BatchEncoding | Encoded | string | string[] {
    const {
      chat_template,
      continue_final_message = false,
      tokenize = true,
      return_dict = true,
      padding,
      truncation = false,
      max_length,
      return_tensors,
      return_tensor,
      return_assistant_tokens_mask = false,
      sanitize_control_tokens = false,
      tokenizer_kwargs,
      ...variables
    } = options
    if (sanitize_control_tokens)
      throw unsupported('apply_chat_template', 'sanitize_control_tokens', sanitize_control_tokens, [false])
    if (return_assistant_tokens_mask && !(tokenize && return_dict))
      throw new RushlightError(
        'apply_chat_template: return_assistant_tokens_mask: expected tokenize and return_dict to be true, found false',
      )
    if (continue_final_message && return_assistant_tokens_mask)
      throw new RushlightError(
        'apply_chat_template: continue_final_message and return_assistant_tokens_mask exclude each other',
      )
    if (continue_final_message && variables.add_generation_prompt)
      throw new RushlightError(
        'apply_chat_template: continue_final_message and add_generation_prompt exclude each other',
      )
    if (conversation.length === 0)
      throw new RushlightError('apply_chat_template: expected at least one message, found none')
    const template = this.get_chat_template(chat_template, variables.tools)
    const continued = continue_final_message === true ? 'content' : continue_final_message || null
    const engine = templateEngine()
    const batched = Array.isArray(conversation[0])
    const chats = (batched ? conversation : [conversation]) as readonly (readonly ChatMessage[])[]
    const rendered = chats.map((messages) =>
      engine.renderChat(
        template,
        messages,
        { add_generation_prompt: false, ...this.special_tokens_map, ...variables },
        { continued, marked: return_assistant_tokens_mask },
      ),
    )
    const texts = rendered.map(({ text }) => text)
    if (!tokenize) return batched ? texts : texts[0]
    const encoding = this._call(batched ? texts : texts[0], {
      padding,
      truncation,
      max_length,
      return_tensors,
      return_tensor,
      add_special_tokens: false,
      ...tokenizer_kwargs,
    })
    if (return_assistant_tokens_mask) {
      const masks = rendered.map(({ generated }, i) => assistantMask(encoding, i, generated))
      if (return_tensors || return_tensor) encoding.assistant_masks = rowsToTensor(masks)
      else encoding.assistant_masks = batched ? masks : masks[0]
    }
    return return_dict ? encoding : encoding.input_ids
  }

  // ---- saving

  /**
   * Writes tokenizer.json, tokenizer_config.json, chat_template.jinja and further templates, from which Python loads it too.
   * @param directory its path, which is made where it is missing, or what makes the sink of each file
   * @returns the names of the files
   */
  async save_pretrained(directory: SaveTarget): Promise<string[]> {
    const create = filesIn(directory)
    const files = Object.entries(this.files())
    if (typeof directory === 'string' && files.some(([file]) => file.includes('/')))
      filesIn(`${directory}/additional_chat_templates`)
    for (const [file, text] of files) await writeText(create(file), text)
    return files.map(([file]) => file)
  }

  /** What save_pretrained writes, by file name. */
  files(): Record<string, string> {
    // tokenizer.json holds the added tokens, and files of their own the templates.
    const { chat_template: _, added_tokens_decoder: __, additional_special_tokens: ___, ...config } = this.config
    const own: TokenizerConfig = {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...config,
      ...this.special_tokens_map,
      ...(this.extra.length ? { extra_special_tokens: this.extra } : {}),
      padding_side: this.padding_side,
      truncation_side: this.truncation_side,
      model_max_length: this.model_max_length,
      model_input_names: this.model_input_names,
      clean_up_tokenization_spaces: this.clean_up_tokenization_spaces,
    }
    const templates = typeof this.chat_template === 'string' ? { default: this.chat_template } : this.chat_template
    // Without a default, loaders would not look for the files of the others.
    const inFiles = templates !== null && Object.hasOwn(templates, 'default')
    if (templates && !inFiles)
      own.chat_template = Object.entries(templates).map(([name, template]) => ({ name, template }))
    const files: Record<string, string> = {
      'tokenizer.json': JSON.stringify({ ...this.json, added_tokens: [...this.engine.added.values()] }, null, 2),
      'tokenizer_config.json': pythonJson(own),
    }
    for (const [name, template] of Object.entries(inFiles ? templates : {})) {
      if (/[/\\]|^\.*$/.test(name))
        throw new RushlightError(`save_pretrained: chat_template: ${JSON.stringify(name)} cannot be a file's name`)
      files[name === 'default' ? 'chat_template.jinja' : `additional_chat_templates/${name}.jinja`] = template
    }
    return files
  }
}

export interface PreTrainedTokenizer extends NamedTokens {
  (
    words: readonly string[],
    options: EncodeOptions & { is_split_into_words: true; return_tensors?: null; return_overflowing_tokens?: false },
  ): BatchEncoding<number[]>
  (text: string, options: EncodeOptions & ({ return_tensors: 'pt' } | { return_tensor: true })): BatchEncoding<Tensor>
  (
    text: readonly string[],
    options: EncodeOptions & ({ return_tensors: 'pt' } | { return_tensor: true }),
  ): BatchEncoding<Tensor>
  (text: string, text_pair?: string | EncodeOptions | null, options?: EncodeOptions): BatchEncoding<number[]>
  (
    text: readonly string[],
    text_pair?: readonly string[] | EncodeOptions | null,
    options?: EncodeOptions,
  ): BatchEncoding<number[][]>
  (...args: CallArguments): BatchEncoding
}

for (const name of NAMED) {
  Object.defineProperties(PreTrainedTokenizer.prototype, {
    [name]: {
      get(this: PreTrainedTokenizer) {
        return this.namedToken(name)
      },
      set(this: PreTrainedTokenizer, token: string | null) {
        this.namedToken(name, token)
      },
    },
    [`${name}_id`]: {
      get(this: PreTrainedTokenizer) {
        return this.idOfNamed(name)
      },
    },
  })
}

const PLAIN_TOKEN = { single_word: false, lstrip: false, rstrip: false, normalized: true, special: false }

function contentOf(token: TokenContent): string {
  return typeof token === 'string' ? token : token.content
}

/** Columns of a list of encodings, as one encoding has them. */
function columnsOf(encodings: readonly Readonly<Record<string, unknown>>[]): [string, unknown][] {
  return Object.keys(encodings[0] ?? {}).map((name) => [name, encodings.map((one) => one[name])])
}

/** Rows of numbers, also of tensors. @throws RushlightError for anything else */
function listOfRows(name: string, rows: unknown): number[][] {
  const list = (isTensor(rows) ? rows.tolist() : rows) as unknown[]
  if (!Array.isArray(list) || !list.every((row) => typeof row === 'object' && row !== null))
    throw new RushlightError(
      `pad: ${name}: expected a list of sequences, found ${Array.isArray(list) ? 'one' : typeof rows}`,
    )
  return list.map((row) => idList('pad', row as TokenIds))
}

/** 1 for the tokens of a sequence that begin in ranges of its text, through those that hold their last characters. */
function assistantMask(encoding: BatchEncoding, row: number, ranges: readonly CharSpan[]): number[] {
  const mask = encoding.tokens(row).map(() => 0)
  for (const { start, end } of ranges) {
    const first = encoding.char_to_token(row, start)
    if (first === null) break // it was cut off, and so is the rest
    const last = encoding.char_to_token(row, end - 1)
    mask.fill(1, first, last ? last + 1 : mask.length)
  }
  return mask
}

function side(name: string, given: string): Side {
  if (given !== 'left' && given !== 'right') throw unsupported('tokenizer', name, given, ['left', 'right'])
  return given
}

/** Whether it is one text, not a batch. @param words a text is a list of words */
function isOneText(text: TextOrBatch, words: boolean): text is Text {
  return typeof text === 'string' || (words && !Array.isArray(text[0]))
}

function checkTexts(name: string, texts: readonly (Text | null)[], words: boolean): void {
  const isText = (text: unknown) =>
    words ? Array.isArray(text) && text.every((word) => typeof word === 'string') : typeof text === 'string'
  const wrong = texts.findIndex((text) => !isText(text))
  if (wrong >= 0)
    throw new RushlightError(
      `tokenizer: ${name}[${wrong}]: expected ${words ? 'a list of words' : 'a string'}, found ${typeof texts[wrong]}`,
    )
}

function chatTemplateOf(given: TokenizerConfig['chat_template']): ChatTemplate | null {
  if (given == null || typeof given === 'string') return given ?? null
  return Array.isArray(given) ? Object.fromEntries(given.map(({ name, template }) => [name, template])) : given
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'tolist' in value
}

function idList(where: string, ids: TokenIds): number[] {
  const list = isTensor(ids) ? ids.tolist() : ids
  if (typeof list === 'number' || typeof list === 'bigint') return [Number(list)]
  return Array.from(list as ArrayLike<unknown>, (id) => {
    if (typeof id !== 'number' && typeof id !== 'bigint')
      throw new RushlightError(
        `${where}: expected ids of one sequence, found ${Array.isArray(id) ? 'several. Hint: batch_decode' : typeof id}`,
      )
    return Number(id)
  })
}
