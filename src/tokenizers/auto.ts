// AutoTokenizer: a tokenizer from a model's directory or its .gguf file.
import { LocalRepository, openFile, openGguf, Repository } from '../io/index.ts'
import { checkOptions, FileError, FileFormatError, RushlightError, shown, unsupported } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'
import type { AddedToken, TokenizerConfig, TokenizerJson } from './format.ts'
import { tokenizerFromGguf } from './gguf.ts'
import { PreTrainedTokenizer } from './tokenizer.ts'

/** Options of from_pretrained. Those of the tokenizer's config, such as `padding_side` or `pad_token`, are used in place of the config's. */
export interface TokenizerOptions {
  /** Name of the .gguf file in the directory that the tokenizer is taken from. */
  gguf_file?: string
  /** Only true: there is no other implementation. */
  use_fast?: boolean
  /** Only false: a repository's own code is never run. */
  trust_remote_code?: boolean
  local_files_only?: boolean
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

const LOADING = ['gguf_file', 'use_fast', 'trust_remote_code', 'local_files_only']
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
   * Loads a tokenizer from a directory with a tokenizer.json, from a .gguf file, or from a repository of io.
   * @throws FileError when there is nothing of the kind, UnsupportedOptionError for an option that there is not
   */
  static async from_pretrained(
    source: string | Repository,
    options: TokenizerOptions = {},
  ): Promise<PreTrainedTokenizer> {
    checkOptions('AutoTokenizer.from_pretrained', options, [...LOADING, ...OVERRIDES])
    const { gguf_file, use_fast = true, trust_remote_code = false, local_files_only: _, ...overrides } = options
    if (!use_fast) throw unsupported('AutoTokenizer.from_pretrained', 'use_fast', use_fast, [true])
    if (trust_remote_code)
      throw unsupported('AutoTokenizer.from_pretrained', 'trust_remote_code', trust_remote_code, [false])
    const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined))
    const { name, json, config } = await contentsOf(source, gguf_file)
    try {
      return new PreTrainedTokenizer(json, { ...config, ...given })
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

async function contentsOf(source: string | Repository, ggufFile: string | undefined): Promise<Contents> {
  if (typeof source === 'string' && /\.gguf$/i.test(source)) return fromGguf(source)
  if ((typeof source !== 'string' || source === '') && !(source instanceof Repository))
    throw new RushlightError(`AutoTokenizer.from_pretrained: expected a path, found ${shown(source)}`)
  const repository = typeof source === 'string' ? localDirectory(source) : source
  if (ggufFile !== undefined) return fromGguf(await repository.open(ggufFile))
  return fromRepository(repository)
}

/** The place where names of the hub will be looked up. */
function localDirectory(path: string): Repository {
  const fs = builtin('node:fs')
  if (fs?.existsSync(path)) return new LocalRepository(path)
  throw new FileError(
    `${path}: there is no such directory. Hint: give a directory with a tokenizer.json, or a .gguf file`,
  )
}

async function fromGguf(source: string | Awaited<ReturnType<typeof openFile>>): Promise<Contents> {
  const checkpoint = await openGguf(typeof source === 'string' ? await openFile(source) : source)
  try {
    return { name: checkpoint.name, ...tokenizerFromGguf(checkpoint.metadata, checkpoint.name) }
  } finally {
    await checkpoint.close()
  }
}

async function fromRepository(repository: Repository): Promise<Contents> {
  if (!(await repository.has('tokenizer.json')))
    throw new FileError(
      `${repository.name}: there is no tokenizer.json. Hint: convert the tokenizer in Python: AutoTokenizer.from_pretrained(…).save_pretrained(…)`,
    )
  const json = (await objectIn(repository, 'tokenizer.json')) as unknown as TokenizerJson
  if (typeof json.model !== 'object' || json.model === null)
    throw new FileFormatError(`${repository.name}/tokenizer.json`, 'model', 'an object', typeof json.model)
  // Older repositories spread over more files what tokenizer_config.json holds now.
  const config: TokenizerConfig = {
    ...(await objectIfThere(repository, 'special_tokens_map.json')),
    ...(await objectIfThere(repository, 'tokenizer_config.json')),
  }
  const added = (await objectIfThere(repository, 'added_tokens.json')) as Record<string, number>
  const template = await chatTemplate(repository)
  return {
    name: `${repository.name}/tokenizer.json`,
    json: { ...json, added_tokens: [...(json.added_tokens ?? []), ...missingTokens(added, json)] },
    config: template === null ? config : { ...config, chat_template: template },
  }
}

function missingTokens(added: Record<string, number>, json: TokenizerJson): AddedToken[] {
  const known = new Set((json.added_tokens ?? []).map(({ content }) => content))
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

async function chatTemplate(repository: Repository): Promise<string | null> {
  if (await repository.has('chat_template.jinja')) return repository.text('chat_template.jinja')
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
