// Small tokenizers put together as those of well-known models are, against Python's: ids and text without a difference.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PreTrainedTokenizer, type TokenizerJson } from '../../src/tokenizers/index.ts'
import { crc32, differing, golden, strings as shared } from './golden.ts'

interface Kind {
  json: TokenizerJson
  /** 16 bits of each string's ids with special tokens, of the offsets (in code points) without, and of the text with and without special tokens. */
  ids: string
  offsets: string
  decoded: string
  skipped: string
  /** Random ids, and 16 bits of their text. */
  sequences: number[][]
  texts: string
}

const { strings: odd, kinds } = golden<{ strings: string[]; kinds: Record<string, Kind> }>('kinds')
const strings = [...shared, ...odd]

/** Cases whose text has not the 16 bits that the golden file has for it. */
function differingText<T>(marks: string, cases: readonly T[], textOf: (one: T) => string): T[] {
  const bytes = Buffer.from(marks, 'base64')
  return cases.filter((one, i) => (crc32(Buffer.from(textOf(one))) & 0xffff) !== bytes.readUInt16LE(2 * i))
}

/** Code points before each position of a text: Python counts those, JavaScript UTF-16 units. */
function codePoints(text: string): number[] {
  const before = [0]
  let count = 0
  for (const char of text) {
    count++
    for (let i = 0; i < char.length; i++) before.push(count)
  }
  return before
}

for (const [name, kind] of Object.entries(kinds)) {
  test(`${name}: ids of ${strings.length} strings, and their text`, () => {
    const tokenizer = new PreTrainedTokenizer(kind.json)
    assert.equal(
      differing(kind.ids, (text) => tokenizer.encode(text), strings),
      [],
      'ids',
    )
    const ids = strings.map((text) => tokenizer.encode(text))
    assert.equal(
      differingText(kind.decoded, ids, (one) => tokenizer.decode(one)),
      [],
      'text',
    )
    assert.equal(
      differingText(kind.skipped, ids, (one) => tokenizer.decode(one, { skip_special_tokens: true })),
      [],
      'text without special tokens',
    )
    assert.equal(
      differingText(kind.texts, kind.sequences, (one) => tokenizer.decode(one)),
      [],
      'text of random ids',
    )
  })

  test(`${name}: offsets`, () => {
    const tokenizer = new PreTrainedTokenizer(kind.json)
    const options = { add_special_tokens: false, return_offsets_mapping: true }
    const offsets = (text: string) => {
      const before = codePoints(text)
      return (tokenizer(text, options).offset_mapping as [number, number][]).flat().map((at) => before[at])
    }
    // Where the table of `precompiled` removes the first character of a text, tokenizers shifts all its offsets by one.
    const shifted = (text: string) => name === 'precompiled' && text.startsWith('\u200b')
    assert.equal(
      differing(kind.offsets, offsets, strings).filter((text) => !shifted(text)),
      [],
    )
  })
}

test.run()
