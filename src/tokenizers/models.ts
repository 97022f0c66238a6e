// Models: from a word of the text to ids.
import { Unigram, WordPiece } from '@huggingface/tokenizers'
import { RushlightError } from '../util/errors.ts'
import { BpeModel, byteIds } from './bpe.ts'
import { type Component, kindOf } from './format.ts'
import { type Span, spansOf } from './spans.ts'

export interface Model {
  readonly vocab: ReadonlyMap<string, number>
  /** Ids of a word. */
  encode(word: string): readonly number[]
  /** Where in the word each of its ids stands. */
  spans(word: string, ids: readonly number[]): Span[]
}

/** Each type of model of a tokenizer.json. */
const MODELS: Record<string, (description: Component) => Model> = {
  BPE: (description) => new BpeModel(description),
  WordPiece: (description) => {
    const pieces = new WordPiece({
      max_input_chars_per_word: 100,
      continuing_subword_prefix: '##',
      ...description,
    } as unknown as ConstructorParameters<typeof WordPiece>[0])
    const vocab = new Map(Object.entries(description.vocab as Record<string, number>))
    const unknown = unknownId(vocab, description.unk_token)
    const prefix = (description.continuing_subword_prefix as string | undefined) ?? '##'
    const spans = spansOf(vocab, { prefix })
    return {
      vocab,
      encode: (word) => pieces.encode([word]).map((token) => vocab.get(token) ?? unknown),
      spans: (word, ids) => (ids[0] === unknown ? [[0, word.length]] : spans(word, ids)),
    }
  },
  WordLevel: (description) => {
    const vocab = new Map(Object.entries(description.vocab as Record<string, number>))
    const unknown = unknownId(vocab, description.unk_token)
    return { vocab, encode: (word) => [vocab.get(word) ?? unknown], spans: (word) => [[0, word.length]] }
  },
  Unigram: (description) => {
    const scores = description.vocab as [token: string, score: number][]
    const pieces = new Unigram(description as unknown as ConstructorParameters<typeof Unigram>[0], '')
    const vocab = new Map(scores.map(([token], id) => [token, id]))
    const encode = (word: string) => {
      const ids: number[] = []
      let wasUnknown = false
      for (const token of pieces.encode([word])) {
        const id = vocab.get(token)
        const found = id !== undefined ? [id] : description.byte_fallback ? byteIds(token, vocab) : undefined
        if (found) ids.push(...found)
        else if (description.unk_id === null)
          throw new RushlightError(`tokenizer: ${JSON.stringify(token)} has no token, and the model has no unk_id`)
        else if (!wasUnknown) ids.push(description.unk_id as number)
        wasUnknown = !found
      }
      return ids
    }
    return { vocab, encode, spans: spansOf(vocab, { fused: true, fusedBytes: true }) }
  },
}

/** The model of its description. @throws UnsupportedOptionError for a type that there is not */
export function modelOf(description: Component): Model {
  return kindOf(MODELS, 'model', description.type ?? impliedType(description))(description)
}

/** Old files do not name the type. */
function impliedType({ vocab, merges }: Component): string {
  return merges ? 'BPE' : Array.isArray(vocab) ? 'Unigram' : 'WordPiece'
}

function unknownId(vocab: ReadonlyMap<string, number>, token: unknown): number {
  const id = vocab.get(token as string)
  if (id === undefined)
    throw new RushlightError(`tokenizer: model.unk_token ${JSON.stringify(token)} is not in the vocabulary`)
  return id
}
