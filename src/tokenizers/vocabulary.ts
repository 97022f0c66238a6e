// Tokenizers from before tokenizer.json: vocab.json and merges.txt of byte-level BPE, or vocab.txt of WordPiece.
import type { Repository } from '../io/index.ts'
import { FileError, FileFormatError } from '../util/errors.ts'
import { byteLevelTokenizer, type Component, type TokenizerConfig, type TokenizerJson } from './format.ts'

interface Vocabulary {
  json: TokenizerJson
  config: TokenizerConfig
}

/** Models whose special tokens stand around the text as RoBERTa's do. */
const AS_ROBERTA = /^(roberta|bart|longformer|led|blenderbot)/i

/**
 * The tokenizer of a repository without tokenizer.json.
 * @param model the repository's config.json, for those whose tokenizer_config.json names no class
 * @throws FileError where there is no vocabulary of a kind that can be read
 */
export async function fromVocabulary(
  repository: Repository,
  config: TokenizerConfig,
  model: Record<string, unknown>,
): Promise<Vocabulary> {
  if ((await repository.has('vocab.json')) && (await repository.has('merges.txt')))
    return byteLevel(repository, config, AS_ROBERTA.test(config.tokenizer_class ?? String(model.model_type ?? '')))
  if (await repository.has('vocab.txt')) return wordPiece(repository, config)
  throw new FileError(
    `${repository.name}: there is no tokenizer.json. Hint: convert the tokenizer in Python: AutoTokenizer.from_pretrained(…).save_pretrained(…)`,
  )
}

async function byteLevel(repository: Repository, given: TokenizerConfig, asRoberta: boolean): Promise<Vocabulary> {
  const vocab = (await repository.json('vocab.json')) as Record<string, number>
  const merges = (await repository.text('merges.txt'))
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
    .filter((line) => line !== '' && !line.startsWith('#version'))
    .map((line, i): [string, string] => {
      const pair = line.split(' ')
      if (pair.length !== 2)
        throw new FileFormatError(`${repository.name}/merges.txt`, `merge ${i}`, 'two tokens', JSON.stringify(line))
      return pair as [string, string]
    })
  const add_prefix_space = given.add_prefix_space === true
  const json = byteLevelTokenizer({ vocab, merges }, [], { add_prefix_space })
  if (!asRoberta) {
    const end = '<|endoftext|>'
    return { json, config: { bos_token: end, eos_token: end, unk_token: end, ...given } }
  }
  const config: TokenizerConfig = {
    bos_token: '<s>',
    eos_token: '</s>',
    cls_token: '<s>',
    sep_token: '</s>',
    unk_token: '<unk>',
    pad_token: '<pad>',
    mask_token: { content: '<mask>', lstrip: true },
    ...given,
  }
  json.post_processor = {
    type: 'RobertaProcessing',
    cls: tokenAndId(config.cls_token, vocab),
    sep: tokenAndId(config.sep_token, vocab),
    trim_offsets: true,
    add_prefix_space,
  }
  return { json, config }
}

async function wordPiece(repository: Repository, given: TokenizerConfig): Promise<Vocabulary> {
  const lines = (await repository.text('vocab.txt')).split('\n').map((line) => line.replace(/\r$/, ''))
  if (lines.at(-1) === '') lines.pop()
  const vocab = Object.fromEntries(lines.map((token, id) => [token, id]))
  const config: TokenizerConfig = {
    unk_token: '[UNK]',
    sep_token: '[SEP]',
    pad_token: '[PAD]',
    cls_token: '[CLS]',
    mask_token: '[MASK]',
    model_input_names: ['input_ids', 'token_type_ids', 'attention_mask'],
    ...given,
  }
  const unknown = contentOf(config.unk_token)
  return {
    config,
    json: {
      version: '1.0',
      added_tokens: [],
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: given.tokenize_chinese_chars ?? true,
        strip_accents: given.strip_accents ?? null,
        lowercase: given.do_lower_case ?? true,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: {
        type: 'BertProcessing',
        sep: tokenAndId(config.sep_token, vocab),
        cls: tokenAndId(config.cls_token, vocab),
      },
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: wordPieceModel(vocab, unknown),
    },
  }
}

function wordPieceModel(vocab: Record<string, number>, unk_token: string): Component {
  return { type: 'WordPiece', unk_token, continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab }
}

function contentOf(token: unknown): string {
  return typeof token === 'object' && token !== null ? String((token as { content: unknown }).content) : String(token)
}

/** A special token as post-processors hold it. @throws FileFormatError when the vocabulary lacks it */
function tokenAndId(token: unknown, vocab: Record<string, number>): [token: string, id: number] {
  const content = contentOf(token)
  if (!Object.hasOwn(vocab, content))
    throw new FileFormatError('vocabulary', JSON.stringify(content), 'a special token of the model', 'nothing')
  return [content, vocab[content]]
}
