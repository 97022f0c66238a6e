// What tokenizer.json and tokenizer_config.json hold, as far as this code looks into them.
import { unsupported } from '../util/errors.ts'

/** A token beside the model's own: found in the text before anything else is done. */
export interface AddedToken {
  id: number
  content: string
  single_word: boolean
  lstrip: boolean
  rstrip: boolean
  normalized: boolean
  special: boolean
}

/** A normalizer, pre-tokenizer, post-processor or decoder: its type, and options of its own. */
export interface Component {
  type: string
  [option: string]: unknown
}

/** What makes the components of a type. @throws UnsupportedOptionError for a type that is not in the table */
export function kindOf<T>(table: Readonly<Record<string, T>>, field: string, type: string): T {
  if (!Object.hasOwn(table, type)) throw unsupported('tokenizer', field, type, Object.keys(table))
  return table[type]
}

/** The contents of a tokenizer.json. */
export interface TokenizerJson {
  version?: string
  truncation?: unknown
  padding?: unknown
  added_tokens: AddedToken[]
  normalizer: Component | null
  pre_tokenizer: Component | null
  model: Component
  post_processor: Component | null
  decoder: Component | null
}

/** A special token as configs write it. */
export type TokenContent = string | { content: string; [option: string]: unknown }

/** The contents of a tokenizer_config.json. */
export interface TokenizerConfig {
  tokenizer_class?: string
  model_max_length?: number
  padding_side?: string
  truncation_side?: string
  model_input_names?: string[]
  clean_up_tokenization_spaces?: boolean
  chat_template?: string | { name: string; template: string }[] | Record<string, string>
  added_tokens_decoder?: Record<string, Omit<AddedToken, 'id'>>
  [key: string]: unknown
}

/** Vocabulary and merges of a BPE model. */
export interface BpeModelJson {
  vocab: Record<string, number>
  merges: [string, string][]
}

/** A tokenizer.json of byte-level BPE, with GPT-2's pre-tokenizer unless another is given. */
export function byteLevelTokenizer(
  model: BpeModelJson & { ignore_merges?: boolean },
  added_tokens: AddedToken[],
  { add_prefix_space = false, pre_tokenizer = null as Component | null } = {},
): TokenizerJson {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens,
    normalizer: null,
    pre_tokenizer: pre_tokenizer ?? { type: 'ByteLevel', add_prefix_space, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      ...model,
    },
  }
}
