// The tokenizer in a GGUF file's metadata, as the tokenizer.json and tokenizer_config.json that it was made from.
import type { GgufValue } from '../io/index.ts'
import { FileFormatError, unsupported } from '../util/errors.ts'
import { byteCharactersOf, CHAR_TO_BYTE } from './bytes.ts'
import {
  type AddedToken,
  byteLevelTokenizer,
  type Component,
  type TokenizerConfig,
  type TokenizerJson,
} from './format.ts'

type Metadata = ReadonlyMap<string, GgufValue>

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
const UNKNOWN = 2
const CONTROL = 3
const USER_DEFINED = 4

/** How the words of a byte-level vocabulary are found: what is split off first, and how the rest is. */
interface Splits {
  /** Patterns by which the text is split, one after another. */
  patterns: readonly string[]
  /** Then GPT-2's words (or pieces stay as they are). */
  gpt2Words?: boolean
  /** A word that is a token is one, whatever its merges say. */
  wholeWords?: boolean
  /** The text is put into Unicode's normal form C first. */
  nfc?: boolean
  /** Where the metadata does not say whether the text begins with the bos token. */
  addBos?: boolean
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const REST = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const wordsWith = (letters: string, digits: string, others: string) =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?${letters}+|${digits}| ?${others}+[\\r\\n]*|${REST}`
const LLAMA3 = wordsWith('\\p{L}', '\\p{N}{1,3}', '[^\\s\\p{L}\\p{N}]')
const QWEN2 = wordsWith('\\p{L}', '\\p{N}', '[^\\s\\p{L}\\p{N}]')
const QWEN35 = wordsWith('[\\p{L}\\p{M}]', '\\p{N}', '[^\\s\\p{L}\\p{M}\\p{N}]')
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
const casedWords = (suffix: string, digits: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${suffix}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${suffix}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${REST}`
const DEEPSEEK3 =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const SENTENCE_WORDS = ' ?[^(\\s|.,!?…。，、।۔،)]+'

/** What each `tokenizer.ggml.pre` stands for, as llama.cpp has it. */
const PRE_TOKENIZERS: Readonly<Record<string, Splits>> = {
  ...family(
    [
      'gpt-2',
      'phi-2',
      'mpt',
      'olmo',
      'jais',
      'trillion',
      'granite-docling',
      'mellum',
      'gigachat',
      'a.x-4.0',
      'modern-bert',
      'roberta-bpe',
      'jina-es',
      'jina-de',
      'jina-v1-en',
      'jina-v2-es',
      'jina-v2-de',
    ],
    {
      patterns: [],
      gpt2Words: true,
    },
  ),
  ...family(['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b', 'jina-v2-code'], {
    patterns: ['\\p{N}'],
    gpt2Words: true,
  }),
  ...family(
    ['llama3', 'llama-v3', 'llama-bpe', 'falcon3', 'falcon-h1', 'pixtral', 'midm-2.0', 'lfm2', 'jina-v5-nano'],
    {
      patterns: [LLAMA3],
      wholeWords: true,
      addBos: true,
    },
  ),
  ...family(['dbrx', 'smaug-bpe', 'glm4', 'chatglm-bpe'], { patterns: [LLAMA3] }),
  ...family(['qwen2', 'deepseek-r1-qwen', 'kormo', 'megrez', 'f2llmv2'], { patterns: [QWEN2], nfc: true }),
  ...family(['stablelm2', 'hunyuan', 'solar-open', 'grok-2'], { patterns: [QWEN2] }),
  qwen35: { patterns: [QWEN35], nfc: true },
  tekken: { patterns: [casedWords('', '\\p{N}')], wholeWords: true, addBos: true },
  ...family(['gpt-4o', 'llama4', 'kanana2', 'minimax-m2'], {
    patterns: [casedWords(`${CONTRACTIONS}?`, '\\p{N}{1,3}')],
  }),
  ...family(['deepseek-v3', 'hunyuan-dense'], { patterns: ['\\p{N}{1,3}', '[一-龥぀-ゟ゠-ヿ]+', DEEPSEEK3] }),
  'deepseek-coder': { patterns: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-퟿]+', '\\p{N}'] },
  falcon: { patterns: ['[\\p{P}$+<=>^~|`]+'], gpt2Words: true },
  ...family(['bloom', 'poro-chat', 'gpt3-finnish'], { patterns: [SENTENCE_WORDS] }),
  viking: { patterns: [SENTENCE_WORDS, '\\p{N}'] },
  'seed-coder': {
    patterns: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${REST}`],
  },
  default: { patterns: ['[\\p{P}$+<=>^~|]+'], gpt2Words: true },
}

function family(names: readonly string[], splits: Splits): Record<string, Splits> {
  return Object.fromEntries(names.map((name) => [name, splits]))
}

/** Each `tokenizer.ggml.model`. */
const MODELS: Readonly<Record<string, (fields: Fields) => TokenizerJson>> = {
  gpt2: byteLevel,
  llama: sentencePiece,
  bert: wordPiece,
}

/**
 * Tokenizer and config from GGUF metadata.
 * @throws UnsupportedOptionError for a model or pre-tokenizer that there is not, FileFormatError naming a key that is wrong
 */
export function tokenizerFromGguf(metadata: Metadata, file = 'GGUF'): { json: TokenizerJson; config: TokenizerConfig } {
  const fields = new Fields(metadata, file)
  const model = fields.string('model')
  const make = Object.hasOwn(MODELS, model) ? MODELS[model] : undefined
  if (!make) throw unsupported(file, 'tokenizer.ggml.model', model, Object.keys(MODELS))
  const json = make(fields)
  const config: TokenizerConfig = { padding_side: model === 'bert' ? 'right' : 'left' }
  for (const [name, key] of Object.entries(SPECIAL_KEYS)) {
    const id = fields.id(key)
    if (id !== null) config[name] = fields.tokens[id]
  }
  if (model === 'bert') config.model_input_names = ['input_ids', 'token_type_ids', 'attention_mask']
  else {
    config.add_bos_token = fields.flag('add_bos_token') ?? (model === 'llama' || fields.splits().addBos === true)
    config.add_eos_token = fields.flag('add_eos_token') ?? false
  }
  Object.assign(config, fields.chatTemplates())
  return { json, config }
}

/** Names of special tokens, and of their ids in the metadata. */
const SPECIAL_KEYS: Record<string, string> = {
  bos_token: 'bos',
  eos_token: 'eos',
  unk_token: 'unknown',
  sep_token: 'seperator', // so spelled in GGUF
  pad_token: 'padding',
  cls_token: 'cls',
  mask_token: 'mask',
}

/** The metadata's keys, checked. */
class Fields {
  readonly tokens: string[]
  readonly types: ArrayLike<number>

  constructor(
    private readonly metadata: Metadata,
    readonly file: string,
  ) {
    this.tokens = this.strings('tokens')
    this.types = (this.metadata.get('tokenizer.ggml.token_type') as ArrayLike<number> | undefined) ?? []
  }

  wrong(key: string, expected: string): FileFormatError {
    const value = this.metadata.get(`tokenizer.ggml.${key}`)
    return new FileFormatError(
      this.file,
      `tokenizer.ggml.${key}`,
      expected,
      value === undefined ? 'nothing' : typeof value,
    )
  }

  string(key: string): string {
    const value = this.metadata.get(`tokenizer.ggml.${key}`)
    if (typeof value !== 'string') throw this.wrong(key, 'a string')
    return value
  }

  strings(key: string): string[] {
    const value = this.metadata.get(`tokenizer.ggml.${key}`)
    if (!Array.isArray(value) || (value as unknown[]).some((item) => typeof item !== 'string'))
      throw this.wrong(key, 'a list of strings')
    return value as string[]
  }

  numbers(key: string): ArrayLike<number> {
    const value = this.metadata.get(`tokenizer.ggml.${key}`)
    if (!ArrayBuffer.isView(value)) throw this.wrong(key, 'a list of numbers')
    return value as unknown as ArrayLike<number>
  }

  has(key: string): boolean {
    return this.metadata.has(`tokenizer.ggml.${key}`)
  }

  flag(key: string): boolean | null {
    const value = this.metadata.get(`tokenizer.ggml.${key}`)
    if (value !== undefined && typeof value !== 'boolean') throw this.wrong(key, 'true or false')
    return value ?? null
  }

  /** Id of a special token; null where there is none. */
  id(name: string): number | null {
    const value = this.metadata.get(`tokenizer.ggml.${name}_token_id`)
    if (value === undefined) return null
    if (typeof value !== 'number' || !(value in this.tokens))
      throw this.wrong(`${name}_token_id`, `an id below ${this.tokens.length}`)
    return value
  }

  splits(): Splits {
    const name = this.has('pre') ? this.string('pre') : 'default'
    const splits = Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined
    if (!splits) throw unsupported(this.file, 'tokenizer.ggml.pre', name, Object.keys(PRE_TOKENIZERS).sort())
    return splits
  }

  merges(): [string, string][] {
    return this.strings('merges').map((merge, i) => {
      const middle = merge.indexOf(' ', 1)
      if (middle < 0)
        throw new FileFormatError(
          this.file,
          `tokenizer.ggml.merges[${i}]`,
          'two tokens with a space between',
          JSON.stringify(merge),
        )
      return [merge.slice(0, middle), merge.slice(middle + 1)]
    })
  }

  /** Control and user-defined tokens of which `usable` holds. */
  added(usable: (token: string, type: number) => boolean = () => true): AddedToken[] {
    const added: AddedToken[] = []
    this.tokens.forEach((content, id) => {
      const type = this.types[id]
      if ((type !== CONTROL && type !== USER_DEFINED) || !usable(content, type)) return
      added.push({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: type === CONTROL,
      })
    })
    return added
  }

  /** The template of chats, and others by name. */
  chatTemplates(): Pick<TokenizerConfig, 'chat_template'> {
    const own = this.metadata.get('tokenizer.chat_template')
    const named = this.metadata.get('tokenizer.chat_templates')
    if (!Array.isArray(named)) return typeof own === 'string' ? { chat_template: own } : {}
    const templates = (named as string[]).map((name) => [name, this.metadata.get(`tokenizer.chat_template.${name}`)])
    return { chat_template: Object.fromEntries([...(typeof own === 'string' ? [['default', own]] : []), ...templates]) }
  }
}

function split(pattern: string): Component {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false }
}

function byteLevel(fields: Fields): TokenizerJson {
  const { patterns, gpt2Words = false, wholeWords = false, nfc = false } = fields.splits()
  const inAlphabet = (token: string) => Array.from(token).every((char) => CHAR_TO_BYTE.has(char))
  // A control token is written as text: one that the alphabet cannot write is a mistake of the converter.
  const added = fields.added((token, type) => type === USER_DEFINED || inAlphabet(token))
  const asText = new Set(added.map(({ id }) => id))
  const vocab = Object.fromEntries(
    fields.tokens.map((token, id) => [asText.has(id) || inAlphabet(token) ? token : byteCharactersOf(token), id]),
  )
  const json = byteLevelTokenizer({ vocab, merges: fields.merges(), ignore_merges: wholeWords }, added, {
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...patterns.map(split),
        {
          type: 'ByteLevel',
          add_prefix_space: fields.flag('add_space_prefix') ?? false,
          trim_offsets: true,
          use_regex: gpt2Words,
        },
      ],
    },
  })
  return nfc ? { ...json, normalizer: { type: 'NFC' } } : json
}

function sentencePiece(fields: Fields): TokenizerJson {
  const prefix = fields.flag('add_space_prefix') ?? true
  const unknown = fields.id('unknown') ?? Array.from(fields.types).indexOf(UNKNOWN)
  return {
    version: '1.0',
    added_tokens: fields.added(),
    normalizer: null,
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: prefix ? 'first' : 'never', split: false },
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE',
      unk_token: fields.tokens[unknown] ?? null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(fields.tokens.map((token, id) => [token, id])),
      merges: fields.has('merges') ? fields.merges() : mergesOf(fields.tokens, fields.numbers('scores')),
    },
  }
}

/** The merges that a vocabulary implies: every way to make a token of two others, tokens of the highest score first. */
function mergesOf(tokens: readonly string[], scores: ArrayLike<number>): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]))
  const merges: { left: string; right: string; score: number }[] = []
  for (const [token, id] of ids) {
    const chars = Array.from(token)
    const ways: { left: string; right: string; score: number }[] = []
    for (let i = 1; i < chars.length; i++) {
      const left = chars.slice(0, i).join('')
      const right = chars.slice(i).join('')
      if (ids.has(left) && ids.has(right)) ways.push({ left, right, score: scores[id] })
    }
    merges.push(...ways.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!))
  }
  const length = (text: string) => Array.from(text).length
  merges.sort((a, b) => b.score - a.score || length(b.left) - length(a.left) || length(b.right) - length(a.right))
  return merges.map(({ left, right }) => [left, right])
}

/** WordPiece, whose tokens GGUF writes as SentencePiece would: a mark before those that begin a word, none before the others. */
function wordPiece(fields: Fields): TokenizerJson {
  const added = fields.added()
  const special = new Set(added.map(({ id }) => id))
  const spelled = (token: string, id: number) =>
    token.startsWith('▁') ? token.slice(1) : special.has(id) || /^\[\w+\]$/.test(token) ? token : `##${token}`
  const cls = fields.id('cls') ?? fields.id('bos')
  const sep = fields.id('seperator') ?? fields.id('eos')
  if (cls === null || sep === null) throw fields.wrong('cls_token_id', 'ids of the tokens that begin and end a text')
  return {
    version: '1.0',
    added_tokens: added,
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', cls: [fields.tokens[cls], cls], sep: [fields.tokens[sep], sep] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: fields.tokens[fields.id('unknown') ?? fields.tokens.indexOf('[UNK]')],
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(fields.tokens.map((token, id) => [spelled(token, id), id])),
    },
  }
}
