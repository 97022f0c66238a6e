// AutoTokenizer: a tokenizer from a model's directory, its repository of the Hub, or its .gguf file.
import { HUB_OPTIONS, type HubOptions, openRepository } from '../hub/open.ts'
import { type ByteSource, openFile, Repository } from '../io/index.ts'
import { checkOptions, FileFormatError, RushlightError, shown, unsupported } from '../util/errors.ts'
import { loadTemplateEngine } from './chat.ts'
import type { AddedToken, TokenizerConfig, TokenizerJson } from './format.ts'
import { PreTrainedTokenizer } from './tokenizer.ts'

/** Options of from_pretrained. Those of the tokenizer's config, such as `padding_side` or `pad_token`, are used in place of the config's. */
export interface TokenizerOptions extends HubOptions {
  /** Name of the .gguf file in the directory or repository that the tokenizer is taken from. */
  gguf_file?: string
  /** Only true: there is no other implementation. */
  use_fast?: boolean
  /** Only false: a repository's own code is never run. */
  trust_remote_code?: boolean
  padding_side?: 'left' | 'right'
  truncation_side?: 'left' | 'right'
  model_max_length?: number
  clean_up_tokenization_spaces?: boolean
  split_special_tokens?: boolean
  add_bos_token?: boolean
  add_eos_token?: boolean
  bos_token?: string
  eos_token?: string
  unk_token?: string
  sep_token?: string
  pad_token?: string
  cls_token?: string
  mask_token?: string
  extra_special_tokens?: string[]
  chat_template?: string
}

const LOADING = ['gguf_file', 'use_fast', 'trust_remote_code']
const OVERRIDES = [
  'padding_side',
  'truncation_side',
  'model_max_length',
  'clean_up_tokenization_spaces',
  'split_special_tokens',
  'add_bos_token',
  'add_eos_token',
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
  'extra_special_tokens',
  'chat_template',
]

export class AutoTokenizer {
  /**
   * Loads a tokenizer from a directory, a repository of the Hub by its name, a .gguf file, or a Repository. It is read from
   * tokenizer.json, or where there is none from vocab.json and merges.txt (GPT-2, OPT, RoBERTa) or vocab.txt (BERT).
   * @throws FileError when there is nothing of the kind, HubError and its kinds for a repository that cannot be had,
   * UnsupportedOptionError for an option that there is not
   */
  static async from_pretrained(
    source: string | Repository,
    options: TokenizerOptions = {},
  ): Promise<PreTrainedTokenizer> {
    checkOptions('AutoTokenizer.from_pretrained', options, [...LOADING, ...OVERRIDES, ...HUB_OPTIONS])
    const { gguf_file, use_fast = true, trust_remote_code = false, ...others } = options
    if (!use_fast) throw unsupported('AutoTokenizer.from_pretrained', 'use_fast', use_fast, [true])
    if (trust_remote_code)
      throw unsupported('AutoTokenizer.from_pretrained', 'trust_remote_code', trust_remote_code, [false])
    const given = Object.entries(others).filter(([, value]) => value !== undefined)
    const hub = Object.fromEntries(given.filter(([name]) => HUB_OPTIONS.includes(name)))
    const overrides = Object.fromEntries(given.filter(([name]) => !HUB_OPTIONS.includes(name)))
    const [{ name, json, config }] = await Promise.all([contentsOf(source, gguf_file, hub), loadTemplateEngine()])
    try {
      return new PreTrainedTokenizer(json, { ...config, ...overrides })
    } catch (cause) {
      if (cause instanceof RushlightError) throw cause
      throw new RushlightError(`${name}: the tokenizer is damaged: ${(cause as Error).message}`, { cause })
    }
  }
}

interface Contents {
  /** What errors call it. */
  name: string
  json: TokenizerJson
  config: TokenizerConfig
}

async function contentsOf(
  source: string | Repository,
  ggufFile: string | undefined,
  hub: HubOptions,
): Promise<Contents> {
  if (typeof source === 'string' && /\.gguf$/i.test(source)) return fromGguf(await openFile(source))
  if ((typeof source !== 'string' || source === '') && !(source instanceof Repository))
    throw new RushlightError(
      `AutoTokenizer.from_pretrained: expected a path or the name of a repository, found ${shown(source)}`,
    )
  const repository = typeof source === 'string' ? await openRepository(source, hub) : source
  if (ggufFile !== undefined) return fromGguf(await repository.open(ggufFile))
  return fromRepository(repository)
}

async function fromGguf(source: ByteSource): Promise<Contents> {
  const [{ openGguf }, { tokenizerFromGguf }] = await Promise.all([import('../io/index.ts'), import('./gguf.ts')])
  const checkpoint = await openGguf(source)
  try {
    return { name: checkpoint.name, ...tokenizerFromGguf(checkpoint.metadata, checkpoint.name) }
  } finally {
    await checkpoint.close()
  }
}

async function fromRepository(repository: Repository): Promise<Contents> {
  // Older repositories spread over more files what tokenizer_config.json holds now.
  const config: TokenizerConfig = {
    ...(await objectIfThere(repository, 'special_tokens_map.json')),
    ...(await objectIfThere(repository, 'tokenizer_config.json')),
  }
  const template = await chatTemplate(repository, config.chat_template)
  if (template !== null) config.chat_template = template
  if (!(await repository.has('tokenizer.json'))) {
    const { fromVocabulary } = await import('./vocabulary.ts')
    const found = await fromVocabulary(repository, config, await objectIfThere(repository, 'config.json'))
    const added = (await objectIfThere(repository, 'added_tokens.json')) as Record<string, number>
    return {
      name: repository.name,
      config: found.config,
      json: { ...found.json, added_tokens: missingTokens(added, []) },
    }
  }
  const json = (await objectIn(repository, 'tokenizer.json')) as unknown as TokenizerJson
  if (typeof json.model !== 'object' || json.model === null)
    throw new FileFormatError(`${repository.name}/tokenizer.json`, 'model', 'an object', typeof json.model)
  const known = json.added_tokens ?? []
  const added = (await objectIfThere(repository, 'added_tokens.json')) as Record<string, number>
  return {
    name: `${repository.name}/tokenizer.json`,
    json: { ...json, added_tokens: [...known, ...missingTokens(added, known)] },
    config,
  }
}

function missingTokens(added: Record<string, number>, tokens: readonly AddedToken[]): AddedToken[] {
  const known = new Set(tokens.map(({ content }) => content))
  return Object.entries(added)
    .filter(([content]) => !known.has(content))
    .map(([content, id]) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: true,
      special: false,
    }))
}

const MORE_TEMPLATES = /^additional_chat_templates\/([^/]+)\.jinja$/

/** The template of files of its own; they replace the config's, and more than one are named. */
async function chatTemplate(
  repository: Repository,
  own: TokenizerConfig['chat_template'],
): Promise<string | Record<string, string> | null> {
  const named: Record<string, string> = {}
  if (await repository.has('chat_template.jinja')) {
    named.default = await repository.text('chat_template.jinja')
    for (const file of await repository.list()) {
      const name = MORE_TEMPLATES.exec(file)?.[1]
      if (name !== undefined) named[name] = await repository.text(file)
    }
  }
  const names = Object.keys(named)
  if (names.length > 0) return names.length === 1 && named.default !== undefined ? named.default : named
  if (own !== undefined) return null
  const { chat_template } = await objectIfThere(repository, 'chat_template.json')
  return typeof chat_template === 'string' ? chat_template : null
}

async function objectIfThere(repository: Repository, file: string): Promise<Record<string, unknown>> {
  return (await repository.has(file)) ? objectIn(repository, file) : {}
}

async function objectIn(repository: Repository, file: string): Promise<Record<string, unknown>> {
  const value = await repository.json(file)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RushlightError(
      `${repository.name}/${file}: expected a JSON object, found ${Array.isArray(value) ? 'a list' : typeof value}`,
    )
  return value as Record<string, unknown>
}
