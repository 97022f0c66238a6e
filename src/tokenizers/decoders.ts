// Decoders: from tokens back to text.
import { unsupported } from '../util/errors.ts'
import { CHAR_TO_BYTE } from './bytes.ts'
import type { Component } from './format.ts'
import { type PatternJson, patternOf } from './patterns.ts'

/** Changes a list of tokens; the text is what they join to. */
export type Decoder = (tokens: string[]) => string[]

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
const strictUtf8 = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })
const encoder = new TextEncoder()

/** Each type of decoder of a tokenizer.json. */
const DECODERS: Record<string, (options: Component) => Decoder> = {
  Sequence: ({ decoders }) => {
    const steps = (decoders as Component[]).map(decoderOf)
    return (tokens) => steps.reduce((tokens, step) => step(tokens), tokens)
  },
  ByteLevel: () => (tokens) => [utf8.decode(joinBytes(tokens.map(bytesOfToken)))],
  WordPiece: ({ prefix = '##', cleanup = true }) => {
    const mark = prefix as string
    return (tokens) =>
      tokens.map((token, i) => {
        const text = i === 0 ? token : token.startsWith(mark) ? token.slice(mark.length) : ` ${token}`
        return cleanup ? cleanUp(text) : text
      })
  },
  Metaspace: ({ replacement = '▁', prepend_scheme = 'always', add_prefix_space = true }) => {
    const strips = add_prefix_space && prepend_scheme !== 'never'
    return (tokens) => tokens.map((token, i) => token.replaceAll(replacement as string, i === 0 && strips ? '' : ' '))
  },
  BPEDecoder: ({ suffix = '</w>' }) => {
    return (tokens) => tokens.map((token, i) => token.replaceAll(suffix as string, i === tokens.length - 1 ? '' : ' '))
  },
  Replace: ({ pattern, content }) => {
    const regex = patternOf(pattern as PatternJson)
    return (tokens) => tokens.map((token) => token.replace(regex, () => content as string))
  },
  Strip: ({ content, start, stop }) => {
    return (tokens) =>
      tokens.map((token) => {
        const chars = Array.from(token)
        let from = 0
        let to = chars.length
        while (from < (start as number) && chars[from] === content) from++
        while (chars.length - to < (stop as number) && chars[to - 1] === content) to--
        return chars.slice(from, to).join('')
      })
  },
  Fuse: () => (tokens) => [tokens.join('')],
  ByteFallback: () => fuseByteTokens,
}

/** The function of a decoder's description. @throws UnsupportedOptionError for a type that there is not */
export function decoderOf(description: Component): Decoder {
  const make = Object.hasOwn(DECODERS, description.type) ? DECODERS[description.type] : undefined
  if (!make) throw unsupported('tokenizer', 'decoder', description.type, Object.keys(DECODERS))
  return make(description)
}

/** Bytes that a byte-level token stands for; those of its text when it is not written in their characters. */
function bytesOfToken(token: string): ArrayLike<number> {
  const bytes: number[] = []
  for (const char of token) {
    const byte = CHAR_TO_BYTE.get(char)
    if (byte === undefined) return encoder.encode(token)
    bytes.push(byte)
  }
  return bytes
}

function joinBytes(parts: ArrayLike<number>[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Runs of tokens such as <0xE2> become the text of those bytes, or one replacement character each. */
function fuseByteTokens(tokens: string[]): string[] {
  const out: string[] = []
  let bytes: number[] = []
  const flush = () => {
    if (bytes.length === 0) return
    try {
      out.push(strictUtf8.decode(Uint8Array.from(bytes)))
    } catch {
      for (const _ of bytes) out.push('\ufffd')
    }
    bytes = []
  }
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1]
    if (byte !== undefined) bytes.push(Number.parseInt(byte, 16))
    else {
      flush()
      out.push(token)
    }
  }
  flush()
  return out
}

/** Takes back the spaces that WordPiece leaves before punctuation and in contractions. */
export function cleanUp(text: string): string {
  for (const [from, to] of CLEANUPS) text = text.replaceAll(from, to)
  return text
}

/** What is replaced by what, in this order. */
export const CLEANUPS: readonly (readonly [from: string, to: string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
]
