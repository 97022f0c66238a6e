// Normalizers: what is done to a text before it is split.
import { bytesOf, type Editable, replaceParts } from './aligned.ts'
import { type Component, kindOf } from './format.ts'
import { type PatternJson, patternOf } from './patterns.ts'
import { precompiledReplacements } from './precompiled.ts'
import { ACCENTS, CONTROLS, IDEOGRAPHS, NMT_REMOVED, NMT_SPACES, SPACE } from './unicode.ts'

export type Normalizer = <T extends Editable<T>>(text: T) => T

/** Each type of normalizer of a tokenizer.json. */
const NORMALIZERS: Record<string, (options: Component) => Normalizer> = {
  Sequence: ({ normalizers }) => {
    const steps = (normalizers as Component[]).map(normalizerOf)
    return (text) => steps.reduce((text, step) => step(text), text)
  },
  BertNormalizer: ({ clean_text = true, handle_chinese_chars = true, strip_accents = null, lowercase = true }) => {
    const strip = strip_accents ?? lowercase
    return (text) => {
      if (clean_text) text = text.replace(CONTROLS, nothing).replace(SPACE, space)
      if (handle_chinese_chars) text = text.replace(IDEOGRAPHS, (char) => ` ${char} `)
      if (strip) text = text.normalize('NFD').replace(ACCENTS, nothing)
      return lowercase ? lower(text) : text
    }
  },
  Lowercase: () => lower,
  Nmt: () => (text) => text.replace(NMT_REMOVED, nothing).replace(NMT_SPACES, space),
  NFC: () => (text) => text.normalize('NFC'),
  NFD: () => (text) => text.normalize('NFD'),
  NFKC: () => (text) => text.normalize('NFKC'),
  NFKD: () => (text) => text.normalize('NFKD'),
  StripAccents: () => (text) => text.replace(/\p{M}/gu, nothing),
  Strip: ({ strip_left, strip_right }) => {
    return (text) => {
      if (strip_left) text = text.replace(/^\p{White_Space}+/u, nothing)
      return strip_right ? text.slice(0, endOfText(text.toString())) : text
    }
  },
  Prepend:
    ({ prepend }) =>
    (text) =>
      text.replace(/^(?=[^])/, () => prepend as string),
  Replace: ({ pattern, content }) => {
    const regex = patternOf(pattern as PatternJson)
    return (text) => text.replace(regex, () => content as string)
  },
  ByteLevel: () => bytesOf,
  Precompiled: ({ precompiled_charsmap }) => {
    const replacements = precompiledReplacements(precompiled_charsmap as string)
    return (text) => replaceParts(text, replacements(text.toString()))
  },
}

/** The function of a normalizer's description. @throws UnsupportedOptionError for a type that there is not */
export function normalizerOf(description: Component): Normalizer {
  return kindOf(NORMALIZERS, 'normalizer', description.type)(description)
}

/** Lower case character by character: a final sigma is one like any other. */
function lower<T extends Editable<T>>(text: T): T {
  return text.replace(/Σ/g, () => 'σ').toLowerCase()
}

const nothing = () => ''
const space = () => ' '

/** Where the white space at the end of a text begins. */
export function endOfText(text: string): number {
  let end = text.length
  while (end > 0 && /\p{White_Space}/u.test(text[end - 1])) end--
  return end
}
