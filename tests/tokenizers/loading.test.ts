// Where tokenizers come from: the Hub, vocabularies without tokenizer.json, files of templates, no file at all.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { env } from '../../src/hub/index.ts'
import { MemoryRepository } from '../../src/io/index.ts'
import { AutoTokenizer, PreTrainedTokenizer, type TokenizerJson } from '../../src/tokenizers/index.ts'
import { startHub } from '../hub/server.ts'
import { realModel } from '../models/paths.ts'
import { shakespeare, strings } from './golden.ts'

const file = readFileSync('examples/train-shakespeare/tokenizer.json', 'utf8')
const json = JSON.parse(file) as TokenizerJson & {
  model: { vocab: Record<string, number>; merges: [string, string][] }
}

// Runs first: what renders templates is not loaded yet.
test('a tokenizer made by hand needs the template engine', async () => {
  const tokenizer = new PreTrainedTokenizer(json, { chat_template: '{{ messages[0].content }}' })
  const render = () => tokenizer.apply_chat_template([{ role: 'user', content: 'x' }], { tokenize: false })
  assert.throws(render, /not loaded yet\. Hint: .*PreTrainedTokenizer\.load_template_engine/)
  await PreTrainedTokenizer.load_template_engine()
  assert.is(render(), 'x')
})

test('from the Hub, and then from its cache', async () => {
  const hub = await startHub({
    repositories: {
      'tests/shakespeare': {
        files: {
          'tokenizer.json': file,
          'tokenizer_config.json': '{"eos_token": "<|endoftext|>"}',
          'chat_template.jinja': '{{ messages[0].content }}',
          'additional_chat_templates/rag.jinja': 'documents: {{ documents | length }}',
        },
        branches: { old: { 'tokenizer.json': file, 'tokenizer_config.json': '{"model_max_length": 7}' } },
      },
    },
  })
  const before = env.remoteHost
  const cache_dir = mkdtempSync(join(tmpdir(), 'rushlight-'))
  try {
    env.remoteHost = hub.url
    const expected = await shakespeare()
    const tokenizer = await AutoTokenizer.from_pretrained('tests/shakespeare', { cache_dir })
    assert.equal({ ...tokenizer('To be, or not') }, { ...expected('To be, or not') })
    assert.is(tokenizer.eos_token_id, 0)
    assert.equal(tokenizer.chat_template, {
      default: '{{ messages[0].content }}',
      rag: 'documents: {{ documents | length }}',
    })
    const options = { chat_template: 'rag', documents: [{ text: 'a' }], tokenize: false } as const
    assert.is(tokenizer.apply_chat_template([{ role: 'user', content: 'x' }], options), 'documents: 1')
    const old = await AutoTokenizer.from_pretrained('tests/shakespeare', { cache_dir, revision: 'old' })
    assert.is(old.model_max_length, 7)
    assert.is(old.chat_template, null)
    const asked = hub.requests.length
    const cached = await AutoTokenizer.from_pretrained('tests/shakespeare', { cache_dir, local_files_only: true })
    assert.equal(cached.chat_template, tokenizer.chat_template)
    assert.is(hub.requests.length, asked, 'nothing more is asked')
  } finally {
    env.remoteHost = before
    await hub.close()
    rmSync(cache_dir, { recursive: true })
  }
})

const merges = `#version: 0.2\n${json.model.merges.map((pair) => pair.join(' ')).join('\n')}\n`

test('from vocab.json and merges.txt, as of GPT-2', async () => {
  const tokenizer = await AutoTokenizer.from_pretrained(
    new MemoryRepository([
      ['vocab.json', JSON.stringify(json.model.vocab)],
      ['merges.txt', merges],
      ['config.json', '{"model_type": "gpt2"}'],
    ]),
  )
  const expected = await shakespeare()
  for (const text of strings) assert.equal(tokenizer.encode(text), expected.encode(text), text)
  assert.is(tokenizer.eos_token, '<|endoftext|>')
})

test('from vocab.json and merges.txt, as of OPT and RoBERTa', async () => {
  const vocab = { ...json.model.vocab, '<s>': 2048, '</s>': 2049, '<pad>': 2050, '<unk>': 2051, '<mask>': 2052 }
  const files = (config: object): [string, string][] => [
    ['vocab.json', JSON.stringify(vocab)],
    ['merges.txt', merges],
    ['tokenizer_config.json', JSON.stringify(config)],
  ]
  const special = { bos_token: '</s>', eos_token: '</s>', unk_token: '</s>', pad_token: '<pad>' }
  const opt = await AutoTokenizer.from_pretrained(
    new MemoryRepository(files({ tokenizer_class: 'GPT2Tokenizer', add_bos_token: true, ...special })),
  )
  const ids = (await shakespeare()).encode('To be')
  assert.equal(opt.encode('To be'), [2049, ...ids])
  const roberta = await AutoTokenizer.from_pretrained(
    new MemoryRepository(files({ tokenizer_class: 'RobertaTokenizer' })),
  )
  assert.equal(roberta.encode('To be', 'To be'), [2048, ...ids, 2049, 2049, ...ids, 2049])
  assert.is(roberta.tokenize('To  <mask>').at(-1), '<mask>')
  assert.is(roberta.encode('To  <mask>', { add_special_tokens: false }).length, roberta.tokenize('To').length + 1)
})

const minilm = realModel('minilm')
if (minilm !== null)
  test('from vocab.txt, as of BERT', async () => {
    const expected = await AutoTokenizer.from_pretrained(minilm)
    const tokens = expected.convert_ids_to_tokens(Array.from({ length: expected.length }, (_, id) => id))
    const load = (config: object) =>
      AutoTokenizer.from_pretrained(
        new MemoryRepository([
          ['vocab.txt', tokens.map((token) => `${token}\n`).join('')],
          ['tokenizer_config.json', JSON.stringify(config)],
        ]),
      )
    const tokenizer = await load({})
    for (const text of strings) assert.equal({ ...tokenizer(text, 'x y') }, { ...expected(text, 'x y') }, text)
    assert.equal((await load({ do_lower_case: false })).tokenize('Hello'), ['[UNK]'])
  })

test('a vocabulary that is damaged is named', async () => {
  const load = async (...files: [string, string][]) =>
    AutoTokenizer.from_pretrained(new MemoryRepository(files, 'broken')).then(
      () => 'no error',
      (error: Error) => error.message,
    )
  assert.match(await load(['vocab.json', '{}']), /broken: there is no tokenizer\.json/)
  assert.match(
    await load(['vocab.json', '{"a": 0}'], ['merges.txt', 'a b c']),
    /broken\/merges\.txt: merge 0: expected two tokens/,
  )
  assert.match(await load(['vocab.txt', '[UNK]\na\n']), /"\[SEP\]": expected a special token/)
})

test.run()
