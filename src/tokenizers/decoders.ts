// Decoders: from tokens back to text, piece by piece. What a piece may still change is held back until the next ones are known.
import { CHAR_TO_BYTE } from './bytes.ts'
import { type Component, kindOf } from './format.ts'
import { type PatternJson, patternOf } from './patterns.ts'

/** Decodes one sequence. The text is what all that it gives joins to. */
export interface Decoder {
  push(tokens: readonly string[]): string[]
  /** What was held back. */
  end(): string[]
}

/** Makes decoders: a new one for each sequence. */
export type DecoderFactory = () => Decoder

const encoder = new TextEncoder()

/** Each type of decoder of a tokenizer.json. */
const DECODERS: Record<string, (options: Component) => DecoderFactory> = {
  Sequence: ({ decoders }) => sequence(decoders as Component[]),
  ByteLevel: () => () => {
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
    return {
      push: (tokens) => [utf8.decode(joinBytes(tokens.map(bytesOfToken)), { stream: true })],
      end: () => [utf8.decode()],
    }
  },
  WordPiece: ({ prefix = '##', cleanup = true }) => {
    const mark = prefix as string
    return eachToken((token, first) => {
      const text = first ? token : token.startsWith(mark) ? token.slice(mark.length) : ` ${token}`
      return cleanup ? cleanUp(text) : text
    })
  },
  Metaspace: ({ replacement = '▁', prepend_scheme = 'always', add_prefix_space = true }) => {
    const strips = add_prefix_space && prepend_scheme !== 'never'
    return eachToken((token, first) => token.replaceAll(replacement as string, first && strips ? '' : ' '))
  },
  BPEDecoder: ({ suffix = '</w>' }) => {
    return () => {
      let last: string[] = [] // the last token ends without a space
      return {
        push(tokens) {
          const known = [...last, ...tokens]
          last = known.splice(-1)
          return known.map((token) => token.replaceAll(suffix as string, ' '))
        },
        end: () => last.map((token) => token.replaceAll(suffix as string, '')),
      }
    }
  },
  Replace: ({ pattern, content }) => {
    const regex = patternOf(pattern as PatternJson)
    return eachToken((token) => token.replace(regex, () => content as string))
  },
  Strip: ({ content, start, stop }) => {
    return eachToken((token) => {
      const chars = Array.from(token)
      let from = 0
      let to = chars.length
      while (from < (start as number) && chars[from] === content) from++
      while (chars.length - to < (stop as number) && chars[to - 1] === content) to--
      return chars.slice(from, to).join('')
    })
  },
  Fuse: () => collected,
  ByteFallback: () => byteFallback,
}

/** The maker of a decoder's description. @throws UnsupportedOptionError for a type that there is not */
export function decoderOf(description: Component): DecoderFactory {
  return kindOf(DECODERS, 'decoder', description.type)(description)
}

/** Tokens side by side with spaces between: what there is without a decoder. */
export const spaced: DecoderFactory = eachToken((token, first) => (first ? token : ` ${token}`))

/** A decoder that takes each token by itself; the first one may differ. */
function eachToken(decode: (token: string, first: boolean) => string): DecoderFactory {
  return () => {
    let first = true
    return {
      push: (tokens) =>
        tokens.map((token) => {
          const text = decode(token, first)
          first = false
          return text
        }),
      end: () => [],
    }
  }
}

/** Decoders one after another. Fusing all tokens to strip the beginning of the text is common, and needs no waiting for its end. */
function sequence(descriptions: Component[]): DecoderFactory {
  const steps: DecoderFactory[] = []
  for (let i = 0; i < descriptions.length; i++) {
    const next = descriptions[i + 1]
    if (descriptions[i].type !== 'Fuse') steps.push(decoderOf(descriptions[i]))
    else if (next?.type === 'Strip' && next.stop === 0) steps.push(stripBeginning(descriptions[++i]))
    else if (next) steps.push(collected)
  }
  return () => {
    const decoders = steps.map((make) => make())
    const through = (tokens: readonly string[], from: number) =>
      decoders.slice(from).reduce<readonly string[]>((tokens, decoder) => decoder.push(tokens), tokens) as string[]
    return {
      push: (tokens) => through(tokens, 0),
      end: () => decoders.flatMap((decoder, i) => through(decoder.end(), i + 1)),
    }
  }
}

/** All tokens as one, at the end. */
function collected(): Decoder {
  let all = ''
  return {
    push(tokens) {
      all += tokens.join('')
      return []
    },
    end: () => [all],
  }
}

/** Takes up to `start` times the character from the beginning of the text. */
function stripBeginning({ content, start }: Component): DecoderFactory {
  return () => {
    let left = start as number
    const strip = (piece: string) => {
      while (left > 0 && piece !== '') {
        if (!piece.startsWith(content as string)) left = 0
        else {
          piece = piece.slice((content as string).length)
          left--
        }
      }
      return piece
    }
    return { push: (tokens) => tokens.map(strip), end: () => [] }
  }
}

/** Runs of tokens such as <0xE2> become the text of those bytes, or one replacement character each. */
function byteFallback(): Decoder {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })
  let bytes: number[] = []
  /** Text of the bytes, or undefined where they are not whole characters. */
  const whole = (): string[] | undefined => {
    try {
      const text = utf8.decode(Uint8Array.from(bytes))
      bytes = []
      return text === '' ? [] : [text]
    } catch {
      return undefined
    }
  }
  const end = (): string[] => whole() ?? bytes.splice(0).map(() => '\ufffd')
  return {
    push(tokens) {
      const out: string[] = []
      for (const token of tokens) {
        const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1]
        if (byte !== undefined) bytes.push(Number.parseInt(byte, 16))
        else out.push(...end(), token)
      }
      return out.concat(whole() ?? [])
    },
    end,
  }
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

/** What is replaced by what, in this order. */
const CLEANUPS = [
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
] as const

/** Takes back the spaces that WordPiece leaves before punctuation and in contractions. */
export function cleanUp(text: string): string {
  for (const [from, to] of CLEANUPS) text = text.replaceAll(from, to)
  return text
}

/** Where the end of a text begins that cleanUp may still change when the text goes on: a space, and what may follow it. */
export function cleanUpHolds(text: string): number {
  const at = text.search(/ [ 'nvr]*$/)
  return at < 0 ? text.length : at
}
