// The BPE trainer against Python's: the Shakespeare tokenizer, which make_tokenizers.py holds to Python's trainer, comes out again.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BpeTrainer, PreTrainedTokenizer } from '../../src/tokenizers/index.ts'

const folder = 'examples/train-shakespeare'

test('training on Shakespeare gives the tokenizer.json of the example', () => {
  const text = gunzipSync(readFileSync(`${folder}/data/shakespeare.txt.gz`)).toString()
  const json = new BpeTrainer({ vocab_size: 2048, special_tokens: ['<|endoftext|>'] }).train_from_iterator([text])
  const stored = JSON.parse(readFileSync(`${folder}/tokenizer.json`, 'utf8'))
  assert.equal(json.model.merges, stored.model.merges)
  assert.equal(json, stored)
  const tokenizer = new PreTrainedTokenizer(json)
  assert.is(tokenizer.decode(tokenizer.encode(text)), text)
})

test('ties go to the smaller ids, rare pairs are left, and training ends when nothing is left to merge', () => {
  const train = (options: object, ...texts: string[]) =>
    new BpeTrainer({ initial_alphabet: [], ...options }).train_from_iterator(texts).model
  // All four pairs of "ab" and "cd" occur twice: by id, a b comes first.
  assert.equal(train({}, 'cdcd', 'abab').merges, [
    ['a', 'b'],
    ['c', 'd'],
    ['ab', 'ab'],
    ['cd', 'cd'],
  ])
  assert.equal(train({ min_frequency: 2 }, 'xyxy', 'z').merges, [['x', 'y']])
  assert.equal(train({ vocab_size: 3 }, 'abab').merges, [['a', 'b']])
  assert.equal(train({ special_tokens: ['<s>', '<s>'] }, 'ab').vocab, { '<s>': 0, a: 1, b: 2, ab: 3 })
  assert.equal(train({ add_prefix_space: true }, 'a').merges, [['Ġ', 'a']])
  assert.equal(train({}, 'aaaa').merges, [
    ['a', 'a'],
    ['aa', 'aa'],
  ])
})

test('options are checked', () => {
  assert.throws(
    () => new BpeTrainer({ vocab_size: 255 }),
    /vocab_size: expected at least 256 \(special tokens and alphabet\), found 255/,
  )
  assert.throws(
    () => new BpeTrainer({ limit_alphabet: 3 } as object),
    /unsupported option limit_alphabet\. Supported: vocab_size/,
  )
})

test.run()
