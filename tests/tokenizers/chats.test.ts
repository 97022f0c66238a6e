// Chats as ids against transformers: assistant masks, open final messages, tools, batches.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { set_verbosity } from '../../src/hub/index.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import {
  type ChatMessage,
  type ChatOptions,
  PreTrainedTokenizer,
  type TokenizerJson,
} from '../../src/tokenizers/index.ts'
import { golden } from './golden.ts'

const { kinds } = golden<{ kinds: Record<string, { json: TokenizerJson }> }>('kinds')
const { templates, chats, calls } = golden<{
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
