// SentencePiece's precompiled normalizer: a table of replacements as a double-array trie over UTF-8 bytes, and the texts it points to.
import { FileFormatError } from '../util/errors.ts'
import type { Replacement } from './aligned.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Longer clusters than so many bytes are taken character by character. */
const CLUSTER_BYTES = 6

/**
 * What the parts of a text, in order, are replaced by, after the table of a tokenizer.json (base64).
 * @throws FileFormatError when the table is damaged
 */
export function precompiledReplacements(charsmap: string): (text: string) => Replacement[] {
  const bytes = Uint8Array.from(atob(charsmap), (char) => char.charCodeAt(0))
  const view = new DataView(bytes.buffer)
  const size = bytes.length < 4 ? Number.NaN : view.getUint32(0, true)
  if (!(size % 4 === 0 && size + 4 <= bytes.length))
    throw new FileFormatError(
      'tokenizer.json',
      'normalizer.precompiled_charsmap',
      'a trie and texts',
      `${bytes.length} bytes`,
    )
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true))
  const texts = bytes.subarray(4 + size)
  const offset = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6)

  /** Text of the shortest entry that the bytes begin with. */
  const lookUp = (text: string): string | undefined => {
    let at = offset(units[0] ?? 0)
    for (const byte of encoder.encode(text)) {
      if (byte === 0) return undefined
      at ^= byte
      const unit = units[at] ?? 0
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined
      at ^= offset(unit)
      if ((unit & 0x100) !== 0) {
        const start = (units[at] ?? 0) & 0x7fffffff
        return decoder.decode(texts.subarray(start, texts.indexOf(0, start)))
      }
    }
    return undefined
  }
  const replaced = (part: string): Replacement => [part, lookUp(part) ?? part]
  return (text) =>
    clustersOf(text).flatMap((cluster): Replacement[] => {
      const whole = encoder.encode(cluster).length < CLUSTER_BYTES ? lookUp(cluster) : undefined
      return whole === undefined ? Array.from(cluster, replaced) : [[cluster, whole]]
    })
}

const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' })

/** Clusters of characters; of plain ASCII, characters. */
function clustersOf(text: string): string[] {
  return /^[\n\x20-\x7e]*$/.test(text) ? text.split('') : Array.from(segmenter.segment(text), ({ segment }) => segment)
}
