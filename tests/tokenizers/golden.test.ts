// Ids and text against Python's tokenizers, on two thousand strings for each tokenizer: no difference is allowed.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openFile, openGguf } from '../../src/io/index.ts'
import { tokenizerFromGguf } from '../../src/tokenizers/gguf.ts'
import { AutoTokenizer, PreTrainedTokenizer, StreamDecoder } from '../../src/tokenizers/index.ts'
import { realModel } from '../models/paths.ts'
import { crc32, differing, golden, shakespeare, strings } from './golden.ts'

interface Golden {
  ids: number[][]
  /** 0 where it is the string. */
  decoded: (string | 0)[]
  /** Text without special tokens, where it differs. */
  skipped: Record<number, string>
  sequences: { ids: number[]; text: string }[]
}

const models: [name: string, load: () => Promise<PreTrainedTokenizer> | null][] = [
  ['shakespeare', shakespeare],
  ['smollm2', () => load('smollm2')],
  ['minilm', () => load('minilm')],
]

function load(name: 'smollm2' | 'minilm'): Promise<PreTrainedTokenizer> | null {
  const path = realModel(name)
  return path === null ? null : AutoTokenizer.from_pretrained(path)
}

for (const [name, load] of models) {
  const loading = load()
  if (!loading) continue
  const expected = golden<Golden>(name)
  const textOf = (i: number) => (expected.decoded[i] === 0 ? strings[i] : expected.decoded[i])

  test(`${name}: ids of ${strings.length} strings`, async () => {
    const tokenizer = await loading
    strings.forEach((text, i) => {
      assert.equal(tokenizer.encode(text, { add_special_tokens: false }), expected.ids[i], JSON.stringify(text))
    })
  })

  test(`${name}: text of their ids, with and without special tokens`, async () => {
    const tokenizer = await loading
    expected.ids.forEach((ids, i) => {
      assert.is(tokenizer.decode(ids), textOf(i))
      assert.is(tokenizer.decode(ids, { skip_special_tokens: true }), expected.skipped[i] ?? textOf(i))
    })
  })

  test(`${name}: text of random ids`, async () => {
    const tokenizer = await loading
    for (const { ids, text } of expected.sequences)
      assert.is(tokenizer.decode(BigInt64Array.from(ids, BigInt)), text, `${ids}`)
  })

  for (const clean_up_tokenization_spaces of [false, true])
    test(`${name}: streamed text is that of decode${clean_up_tokenization_spaces ? ', cleaned up' : ''}`, async () => {
      const options = { clean_up_tokenization_spaces }
      const tokenizer = await loading
      const decoder = new StreamDecoder(tokenizer, options)
      for (const ids of [...expected.ids, ...expected.sequences.map(({ ids }) => ids)]) {
        const whole = tokenizer.decode(ids, options)
        const pieces = [...ids.map((id) => decoder.push([id])), decoder.flush()]
        assert.is(pieces.join(''), whole)
        for (const piece of pieces) assert.not(/\p{Cs}/u.test(piece), 'half a surrogate pair')
        const middle = ids.length >> 1
        assert.is(decoder.push(ids.slice(0, middle)) + decoder.push(ids.slice(middle)) + decoder.flush(), whole)
      }
    })
}

// Byte-level vocabularies in GGUF: each kind of pre-tokenizer over the vocabulary of the Shakespeare tokenizer.
for (const [pre, marks] of Object.entries(golden<Record<string, string>>('families')))
  test(`gguf: tokenizer.ggml.pre ${pre}`, () => {
    const { model } = JSON.parse(readFileSync('examples/train-shakespeare/tokenizer.json', 'utf8')) as {
      model: { vocab: Record<string, number>; merges: string[][] }
    }
    const tokens = Object.entries(model.vocab).sort((a, b) => a[1] - b[1])
    const metadata = new Map<string, string | string[] | Int32Array | boolean>([
      ['tokenizer.ggml.model', 'gpt2'],
      ['tokenizer.ggml.pre', pre],
      ['tokenizer.ggml.tokens', tokens.map(([token]) => token)],
      ['tokenizer.ggml.token_type', Int32Array.from(tokens, (_, id) => (id === 0 ? 3 : 1))],
      ['tokenizer.ggml.merges', model.merges.map((pair) => pair.join(' '))],
      ['tokenizer.ggml.add_bos_token', false],
    ])
    const { json, config } = tokenizerFromGguf(metadata)
    const tokenizer = new PreTrainedTokenizer(json, config)
    assert.equal(
      differing(marks, (text) => tokenizer.encode(text)),
      [],
    )
  })

test('gguf: SentencePiece, whose merges are recovered from the scores', () => {
  const { tokens, scores, types, ids, decoded } = golden<{
    tokens: string[]
    scores: number[]
    types: number[]
    ids: string
    decoded: number[]
  }>('sentencepiece')
  const { json, config } = tokenizerFromGguf(
    new Map<string, string | string[] | Int32Array | Float32Array | number | boolean>([
      ['tokenizer.ggml.model', 'llama'],
      ['tokenizer.ggml.tokens', tokens],
      ['tokenizer.ggml.scores', Float32Array.from(scores)],
      ['tokenizer.ggml.token_type', Int32Array.from(types)],
      ['tokenizer.ggml.bos_token_id', 1],
      ['tokenizer.ggml.eos_token_id', 2],
      ['tokenizer.ggml.unknown_token_id', 0],
    ]),
  )
  const tokenizer = new PreTrainedTokenizer(json, config)
  const encode = (text: string) => tokenizer.encode(text, { add_special_tokens: false })
  assert.equal(differing(ids, encode), [])
  assert.equal(
    strings.filter((text, i) => crc32(Buffer.from(tokenizer.decode(encode(text)))) !== decoded[i]),
    [],
  )
  assert.is(tokenizer.encode('a')[0], 1, 'begins with bos unless the file says otherwise')
})

const minilm = realModel('minilm')
if (minilm !== null)
  test('gguf: WordPiece, as GGUF spells it', async () => {
    const original = await AutoTokenizer.from_pretrained(minilm)
    const spelled = original
      .convert_ids_to_tokens(Array.from({ length: original.length }, (_, id) => id))
      .map((token) => (token.startsWith('##') ? token.slice(2) : /^\[\w+\]$/.test(token) ? token : `▁${token}`))
    const id = (token: string) => original.convert_tokens_to_ids(token) as number
    const { json, config } = tokenizerFromGguf(
      new Map<string, string | string[] | Int32Array | number>([
        ['tokenizer.ggml.model', 'bert'],
        ['tokenizer.ggml.tokens', spelled],
        [
          'tokenizer.ggml.token_type',
          Int32Array.from(spelled, (token) => (/^\[(PAD|UNK|CLS|SEP|MASK)\]$/.test(token) ? 3 : 1)),
        ],
        ['tokenizer.ggml.unknown_token_id', id('[UNK]')],
        ['tokenizer.ggml.seperator_token_id', id('[SEP]')],
        ['tokenizer.ggml.cls_token_id', id('[CLS]')],
        ['tokenizer.ggml.padding_token_id', id('[PAD]')],
      ]),
    )
    const tokenizer = new PreTrainedTokenizer(json, config)
    for (const text of strings) assert.equal(tokenizer(text), original(text))
    assert.equal(
      tokenizer(['a', 'b c'], ['d', 'e'], { padding: true }),
      original(['a', 'b c'], ['d', 'e'], { padding: true }),
    )
  })

const smollm2 = realModel('smollm2')
if (smollm2 !== null)
  test('gguf: unknown kinds are refused by name', async () => {
    const file = await openGguf(await openFile(smollm2))
    await file.close()
    const metadata = new Map(file.metadata)
    metadata.set('tokenizer.ggml.pre', 'nonesuch')
    assert.throws(
      () => tokenizerFromGguf(metadata, 'x.gguf'),
      /x\.gguf: tokenizer\.ggml\.pre: "nonesuch" is not supported\. Supported: .*"smollm"/,
    )
    metadata.set('tokenizer.ggml.model', 'rwkv')
    assert.throws(
      () => tokenizerFromGguf(metadata, 'x.gguf'),
      /tokenizer\.ggml\.model: "rwkv" is not supported\. Supported: "gpt2", "llama", "bert"/,
    )
    metadata.delete('tokenizer.ggml.tokens')
    assert.throws(
      () => tokenizerFromGguf(metadata, 'x.gguf'),
      /x\.gguf: tokenizer\.ggml\.tokens: expected a list of strings, found nothing/,
    )
  })

test.run()
