// Normalizers: what is done to a text before it is split.
import { PrecompiledNormalizer } from '@huggingface/tokenizers'
import { byteCharactersOf } from './bytes.ts'
import { type Component, kindOf } from './format.ts'
import { type PatternJson, patternOf } from './patterns.ts'
import { ACCENTS, CONTROLS, IDEOGRAPHS, NMT_REMOVED, NMT_SPACES, SPACE } from './unicode.ts'

export type Normalizer = (text: string) => string

/** Each type of normalizer of a tokenizer.json. */
const NORMALIZERS: Record<string, (options: Component) => Normalizer> = {
  Sequence: ({ normalizers }) => {
    const steps = (normalizers as Component[]).map(normalizerOf)
    return (text) => steps.reduce((text, step) => step(text), text)
  },
  BertNormalizer: ({ clean_text = true, handle_chinese_chars = true, strip_accents = null, lowercase = true }) => {
    const strip = strip_accents ?? lowercase
    return (text) => {
      if (clean_text) text = text.replace(CONTROLS, '').replace(SPACE, ' ')
      if (handle_chinese_chars) text = text.replace(IDEOGRAPHS, ' $& ')
      if (strip) text = text.normalize('NFD').replace(ACCENTS, '')
      return lowercase ? lower(text) : text
    }
  },
  Lowercase: () => lower,
  Nmt: () => (text) => text.replace(NMT_REMOVED, '').replace(NMT_SPACES, ' '),
  NFC: () => (text) => text.normalize('NFC'),
  NFD: () => (text) => text.normalize('NFD'),
  NFKC: () => (text) => text.normalize('NFKC'),
  NFKD: () => (text) => text.normalize('NFKD'),
  StripAccents: () => (text) => text.replace(/\p{M}/gu, ''),
  Strip: ({ strip_left, strip_right }) => {
    return (text) => {
      if (strip_left) text = text.replace(/^\p{White_Space}+/u, '')
      return strip_right ? text.slice(0, endOfText(text)) : text
    }
  },
  Prepend:
    ({ prepend }) =>
    (text) =>
      text === '' ? text : `${prepend}${text}`,
  Replace: ({ pattern, content }) => {
    const regex = patternOf(pattern as PatternJson)
    return (text) => text.replace(regex, () => content as string)
  },
  ByteLevel: () => byteCharactersOf,
  Precompiled: (options) => {
    const precompiled = new PrecompiledNormalizer(
      options as unknown as ConstructorParameters<typeof PrecompiledNormalizer>[0],
    )
    return (text) => precompiled.normalize(text)
  },
}

/** The function of a normalizer's description. @throws UnsupportedOptionError for a type that there is not */
export function normalizerOf(description: Component): Normalizer {
  return kindOf(NORMALIZERS, 'normalizer', description.type)(description)
}

/** Lower case character by character: a final sigma is one like any other. */
function lower(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase()
}

/** Where the white space at the end of a text begins. */
export function endOfText(text: string): number {
  let end = text.length
  while (end > 0 && /\p{White_Space}/u.test(text[end - 1])) end--
  return end
}
