// The golden files of tokenizers, and the tokenizers that they are of.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { AutoTokenizer, type PreTrainedTokenizer } from '../../src/tokenizers/index.ts'

/** A golden file of tests/golden/tokenizers. */
export function golden<T>(name: string): T {
  return JSON.parse(gunzipSync(readFileSync(`tests/golden/tokenizers/${name}.json.gz`)).toString()) as T
}

/** The strings that all tokenizers were run on. */
export const strings = golden<string[]>('strings')

/** The tokenizer that the Shakespeare example trains. */
export function shakespeare(): Promise<PreTrainedTokenizer> {
  return AutoTokenizer.from_pretrained('examples/train-shakespeare')
}

/** CRC-32 of bytes, as zlib computes it. */
export function crc32(bytes: Uint8Array): number {
  let crc = -1
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

/** Strings whose ids have not the 16 bits that the golden file has for them. */
export function differing(marks: string, encode: (text: string) => number[], texts = strings): string[] {
  const bytes = Buffer.from(marks, 'base64')
  return texts.filter((text, i) => {
    const ids = Uint32Array.from(encode(text))
    return (crc32(new Uint8Array(ids.buffer)) & 0xffff) !== bytes.readUInt16LE(2 * i)
  })
}
