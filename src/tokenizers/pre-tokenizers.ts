// Pre-tokenizers: how a normalized text is cut into the words that the model sees, one by one.
import { bytesOf, type Editable } from './aligned.ts'
import { type Component, kindOf } from './format.ts'
import { GPT2_WORDS, type PatternJson, patternOf, splitterOf } from './patterns.ts'
import { PUNCTUATION, SPACE } from './unicode.ts'

/** Cuts a piece of text; `first` says that it begins the whole text. */
export type PreTokenizer = <T extends Editable<T>>(piece: T, first: boolean) => T[]

/** Each type of pre-tokenizer of a tokenizer.json. */
const PRE_TOKENIZERS: Record<string, (options: Component) => PreTokenizer> = {
  Sequence: ({ pretokenizers }) => {
    const steps = (pretokenizers as Component[]).map(preTokenizerOf)
    return <T extends Editable<T>>(text: T, first: boolean) =>
      steps.reduce<T[]>((pieces, step) => pieces.flatMap((piece, i) => step(piece, first && i === 0)), [text])
  },
  ByteLevel: ({ add_prefix_space = true, use_regex = true }) => {
    const words = use_regex ? splitterOf(GPT2_WORDS, 'Isolated') : whole
    return (text) => words(add_prefix_space && !text.startsWith(' ') ? text.replace(/^/, () => ' ') : text).map(bytesOf)
  },
  BertPreTokenizer: () => {
    const words = splitterOf(SPACE, 'Removed')
    const punctuation = splitterOf(PUNCTUATION, 'Isolated')
    return (text) => words(text).flatMap(punctuation)
  },
  Whitespace: () =>
    splitterOf(
      /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu,
      'Removed',
      true,
    ),
  WhitespaceSplit: () => splitterOf(SPACE, 'Removed'),
  Punctuation: ({ behavior = 'Isolated' }) => splitterOf(PUNCTUATION, behavior as string),
  Digits: ({ individual_digits = false }) => splitterOf(/\p{N}/gu, individual_digits ? 'Isolated' : 'Contiguous'),
  CharDelimiterSplit: ({ delimiter }) => splitterOf(patternOf({ String: delimiter as string }), 'Removed'),
  Split: ({ pattern, behavior, invert = false }) =>
    splitterOf(patternOf(pattern as PatternJson), behavior as string, invert as boolean),
  Metaspace: ({ replacement = '▁', prepend_scheme = 'always', add_prefix_space = true, split = true }) => {
    const mark = replacement as string
    const scheme = add_prefix_space ? prepend_scheme : 'never'
    const words = split ? splitterOf(patternOf({ String: mark }), 'MergedWithNext') : whole
    return (text, first) => {
      const marked = text.replace(/ /g, () => mark)
      const prepend = (scheme === 'always' || (scheme === 'first' && first)) && !marked.startsWith(mark)
      return words(prepend ? marked.replace(/^/, () => mark) : marked)
    }
  },
  FixedLength: ({ length = 5 }) => splitterOf(new RegExp(`.{1,${length}}`, 'gsu'), 'Isolated'),
}

/** The function of a pre-tokenizer's description. @throws UnsupportedOptionError for a type that there is not */
export function preTokenizerOf(description: Component): PreTokenizer {
  return kindOf(PRE_TOKENIZERS, 'pre_tokenizer', description.type)(description)
}

function whole<T>(text: T): T[] {
  return [text]
}
