// Chats as ids against transformers: assistant masks, open final messages, tools, batches.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { set_verbosity } from '../../src/hub/index.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import {
  type ChatMessage,
  type ChatOptions,
  type EncodeOptions,
  PreTrainedTokenizer,
  type TokenizerJson,
} from '../../src/tokenizers/index.ts'
import { golden } from './golden.ts'

interface Encoding {
  texts: (string | string[] | string[][])[]
  options: EncodeOptions
  result: Record<string, unknown>
  words: (number | null)[][]
  sequences: (number | null)[][]
  tokens: string[][]
}

const { kinds } = golden<{ kinds: Record<string, { json: TokenizerJson }> }>('kinds')
const { templates, chats, calls, encodings } = golden<{
  encodings: Record<string, Encoding[]>
  templates: Record<string, string>
  chats: Record<string, ChatMessage[]>
  calls: {
    kind: string
    template: string
    chat: string
    options: ChatOptions
    text?: string | string[]
    result: Record<string, unknown>
  }[]
}>('chats')

const special = { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', pad_token: '</s>' }
const tokenizers = new Map<string, PreTrainedTokenizer>()
function tokenizerOf(kind: string): PreTrainedTokenizer {
  let tokenizer = tokenizers.get(kind)
  if (!tokenizer) tokenizers.set(kind, (tokenizer = new PreTrainedTokenizer(kinds[kind].json, special)))
  return tokenizer
}

test.before(async () => {
  set_verbosity('error')
  await PreTrainedTokenizer.load_template_engine()
})

for (const { kind, template, chat, options, text, result } of calls)
  test(`${kind}: ${chat} by ${template} ${JSON.stringify(options).slice(0, 80)}`, () => {
    const given = { ...options, chat_template: templates[template] }
    const tokenizer = tokenizerOf(kind)
    assert.equal({ ...tokenizer.apply_chat_template(chats[chat], given) }, result)
    if (text === undefined) return
    const { return_assistant_tokens_mask: _, ...plain } = given
    assert.equal(tokenizer.apply_chat_template(chats[chat], { ...plain, tokenize: false }), text)
  })

for (const [kind, cases] of Object.entries(encodings))
  test(`${kind}: where the tokens of ${cases.length} calls come from`, () => {
    const tokenizer = tokenizerOf(kind)
    for (const { texts, options, result, words, sequences, tokens } of cases) {
      const encoding = tokenizer._call(texts[0], texts[1], options)
      const { token_type_ids: _, ...expected } = result
      const what = JSON.stringify([texts, options])
      assert.equal({ ...encoding }, expected, what)
      words.forEach((row, i) => {
        assert.equal(encoding.word_ids(i), row, what)
        assert.equal(encoding.sequence_ids(i), sequences[i], what)
        assert.equal(encoding.tokens(i), tokens[i], what)
      })
    }
  })

test('pad: encodings of one text each, or of rows', () => {
  const tokenizer = tokenizerOf('llama2')
  const texts = ['To be', 'or not to be']
  const batch = tokenizer(texts, { padding: true, padding_side: 'left', return_tensors: 'pt' })
  const padded = tokenizer.pad(
    texts.map((text) => tokenizer(text)),
    { padding_side: 'left', return_tensors: 'pt' },
  )
  assert.equal((padded.input_ids as Tensor).tolist(), batch.input_ids.tolist())
  assert.equal((padded.attention_mask as Tensor).tolist(), batch.attention_mask!.tolist())
  const { input_ids } = tokenizer(texts)
  const rows = tokenizer.pad({ input_ids }, { pad_to_multiple_of: 8 })
  assert.is((rows.input_ids as number[][])[0].length % 8, 0)
  assert.is((rows.attention_mask as number[][])[0].at(-1), 0)
  assert.throws(() => tokenizer.pad({ input_ids: [1, 2] }), /input_ids: expected a list of sequences/)
  assert.throws(() => tokenizer.pad([]), /expected input_ids, found none/)
  assert.throws(() => tokenizer.pad({ input_ids }, { pading: true } as object), /unsupported option pading/)
  assert.equal(tokenizer.decode(input_ids as number[][], { skip_special_tokens: true }), texts)
})

test('masks as tensors; characters that mark their ends are not among those of the chat', () => {
  const tokenizer = tokenizerOf('qwen2')
  const options = {
    chat_template: templates.chatml,
    return_assistant_tokens_mask: true,
    return_tensors: 'pt',
    padding: true,
  } as const
  const { input_ids, assistant_masks } = tokenizer.apply_chat_template([chats.talk, chats.empty], options)
  assert.equal((assistant_masks as Tensor).shape, (input_ids as Tensor).shape)
  const odd = [
    { role: 'user', content: '\ufdd0' },
    { role: 'assistant', content: 'a\ufdd1b' },
  ]
  const encoding = tokenizer.apply_chat_template(odd, { ...options, return_tensors: null, padding: false })
  const ids = encoding.input_ids as number[]
  const masked = ids.filter((_, i) => (encoding.assistant_masks as number[])[i] === 1)
  assert.is(tokenizer.decode(masked), 'a\ufdd1b<|x|>')
})

test('an encoding says where its tokens come from', () => {
  const tokenizer = tokenizerOf('bert uncased')
  const encoding = tokenizer(['Café au lait', 'x'], ['no', 'yes'], { padding: true })
  const tokens = encoding.tokens(0)
  assert.is(tokens[0], '<s>')
  const at = encoding.char_to_token(0, 5)!
  const { start, end } = encoding.token_to_chars(0, at)!
  assert.ok('Café au lait'.slice(start, end).startsWith('a'))
  assert.is(encoding.char_to_token(0, 4), null, 'a space is of no token')
  assert.is(encoding.token_to_chars(0, 0), null)
  assert.is(encoding.word_ids(0)[at], 1)
  assert.is(encoding.token_to_word(0, at), 1)
  assert.is(encoding.token_to_sequence(0, at), 0)
  const au = encoding.word_to_tokens(0, 1)!
  assert.equal(encoding.word_ids(0).slice(au.start, au.end), new Array(au.end - au.start).fill(1))
  assert.is(encoding.word_ids(0)[au.end], 2)
  assert.is(encoding.word_to_tokens(0, 9), null)
  const second = encoding.char_to_token(0, 0, 1)!
  assert.is(encoding.sequence_ids(0)[second], 1)
  assert.is(encoding.sequence_ids(1).at(-1), null, 'padding is of neither')
  assert.throws(() => encoding.tokens(2), /expected a sequence from 0 to 1, found 2/)
  const { offset_mapping, length } = tokenizer('ab c', { return_offsets_mapping: true, return_length: true })
  assert.equal((offset_mapping as [number, number][]).at(0), [0, 0])
  assert.equal(length, [(offset_mapping as unknown[]).length])
  const tensors = tokenizer(['ab c', 'd'], { return_offsets_mapping: true, return_tensors: 'pt', padding: true })
  assert.is((tensors.offset_mapping as Tensor).shape[2], 2)
})

test.run()
