// Calls against transformers: pairs, padding, truncation, masks, chats; and what a tokenizer offers beside its call.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bytesSink, MemoryRepository } from '../../src/io/index.ts'
import { Tensor } from '../../src/tensor/tensor.ts'
import {
  AutoTokenizer,
  BatchEncoding,
  type ChatMessage,
  type EncodeOptions,
  PreTrainedTokenizer,
  StreamDecoder,
} from '../../src/tokenizers/index.ts'
import { realModel } from '../models/paths.ts'
import { golden, shakespeare } from './golden.ts'

interface Call {
  texts: (string | string[])[]
  options: EncodeOptions
  result: Record<string, number[] | number[][]>
}

const { chats, templates, rendered, ...calls } = golden<{
  minilm: Call[]
  shakespeare: Call[]
  chats: { messages: ChatMessage[]; options: Record<string, unknown> }[]
  templates: Record<string, string>
  rendered: { template: string; chat: number; text: string | null }[]
}>('calls')

const minilm = realModel('minilm')

for (const [name, load] of [
  ['shakespeare', shakespeare],
  ['minilm', minilm === null ? null : () => AutoTokenizer.from_pretrained(minilm)],
] as const)
  if (load)
    test(`${name}: ${calls[name].length} calls give what transformers gives`, async () => {
      const tokenizer = await load()
      for (const { texts, options, result } of calls[name]) {
        const encoding = tokenizer._call(texts[0], texts[1], options)
        assert.equal({ ...encoding }, result, JSON.stringify([texts, options]))
      }
    })

test(`${rendered.length} chats by ${Object.keys(templates).length} templates read as jinja2 writes them`, async () => {
  const tokenizer = await shakespeare()
  tokenizer.add_special_tokens({
    bos_token: '<|im_start|>',
    eos_token: '<|im_end|>',
    unk_token: '<|endoftext|>',
    pad_token: '<|im_end|>',
  })
  for (const { template, chat, text } of rendered) {
    const { messages, options } = chats[chat]
    const render = () =>
      tokenizer.apply_chat_template(messages, { ...options, chat_template: templates[template], tokenize: false })
    if (text === null) assert.throws(render, /^apply_chat_template: /, `${template}, chat ${chat}`)
    else assert.is(render(), text, `${template}, chat ${chat}`)
  }
})

test('chats as ids, in batches, by the name of a template', async () => {
  const tokenizer = await shakespeare()
  assert.throws(() => tokenizer.apply_chat_template([{ role: 'user', content: 'x' }]), /no chat_template/)
  tokenizer.chat_template = {
    default: '{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}',
    tool_use: '{{ tools | length }} tools',
  }
  const chat = [{ role: 'user', content: 'To be' }]
  const ids = [...tokenizer.encode('To be'), 0]
  assert.equal({ ...tokenizer.apply_chat_template(chat) }, { input_ids: ids, attention_mask: ids.map(() => 1) })
  assert.equal(tokenizer.apply_chat_template(chat, { return_dict: false }), ids)
  const batch = tokenizer.apply_chat_template([chat, [...chat, ...chat]], { padding: true, return_tensors: 'pt' })
  assert.equal((batch.attention_mask as Tensor).tolist(), [
    [...ids.map(() => 1), ...ids.map(() => 0)],
    [...ids, ...ids].map(() => 1),
  ])
  assert.is(tokenizer.apply_chat_template(chat, { tools: [{}, {}], tokenize: false }), '2 tools')
  assert.is(tokenizer.apply_chat_template(chat, { chat_template: 'tool_use', tools: [], tokenize: false }), '0 tools')
  tokenizer.chat_template = { rag: 'x' }
  assert.throws(() => tokenizer.apply_chat_template(chat), /several templates and no default.*rag/)
  assert.throws(() => tokenizer.apply_chat_template([]), /at least one message/)
  assert.throws(() => tokenizer.apply_chat_template(chat, { chat_template: '{{ x' }), /^apply_chat_template: /)
  assert.throws(
    () =>
      tokenizer.apply_chat_template(chat, {
        chat_template: 'x',
        return_assistant_tokens_mask: true,
        return_dict: false,
      }),
    /return_assistant_tokens_mask: expected tokenize and return_dict/,
  )
  assert.throws(
    () =>
      tokenizer.apply_chat_template(chat, {
        chat_template: 'x',
        add_generation_prompt: true,
        continue_final_message: true,
      }),
    /exclude each other/,
  )
  assert.throws(
    () => tokenizer.apply_chat_template(chat, { chat_template: 'x', continue_final_message: true }),
    /does not read "content"/,
  )
})

test('an encoding spreads, holds tensors when asked, and stays on its device', async () => {
  const tokenizer = await shakespeare()
  const encoding = tokenizer(['To be', 'or not'], { padding: true, return_tensors: 'pt' }).to('cpu')
  assert.instance(encoding, BatchEncoding)
  assert.equal(Object.keys({ ...encoding }), ['input_ids', 'attention_mask'])
  assert.instance(encoding.input_ids, Tensor)
  assert.is(encoding.input_ids.dtype, 'int64')
  assert.equal(tokenizer('To be', { return_tensor: true }).input_ids.shape, [1, tokenizer.encode('To be').length])
  assert.throws(() => encoding.to('cuda'), /device: "cuda" is not supported/)
  assert.throws(() => tokenizer(['a', 'b c d'], { return_tensors: 'pt' }), /rows of one length, found .*padding: true/)
})

test('ids come from arrays, typed arrays, bigints and tensors', async () => {
  const tokenizer = await shakespeare()
  const text = 'The fault, dear Brutus'
  const ids = tokenizer.encode(text)
  for (const given of [
    ids,
    ids.map(BigInt),
    Int32Array.from(ids),
    BigInt64Array.from(ids, BigInt),
    Tensor.from(ids, [ids.length], 'int64'),
  ])
    assert.is(tokenizer.decode(given), text)
  assert.is(tokenizer.decode(ids[0]), tokenizer.decode([ids[0]]))
  const rows = Tensor.from([...ids, ...ids], [2, ids.length], 'int64')
  assert.equal(tokenizer.batch_decode(rows), [text, text])
  assert.equal(tokenizer.batch_decode([ids, [0, ...ids]], { skip_special_tokens: true }), [text, text])
  assert.throws(() => tokenizer.decode(rows), /batch_decode/)
  assert.equal(tokenizer.convert_ids_to_tokens(ids), tokenizer.tokenize(text))
  assert.is(tokenizer.convert_tokens_to_string(tokenizer.tokenize(text)), text)
  assert.equal(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)), ids)
  assert.equal(tokenizer.convert_tokens_to_ids(['no such token']), [null])
  assert.throws(() => tokenizer.convert_ids_to_tokens(99999), /no token 99999/)
})

test('special tokens have names, ids, and can be set', async () => {
  const tokenizer = await shakespeare()
  assert.is(tokenizer.length, 2048)
  assert.is(tokenizer.vocab_size, 2048)
  assert.is(tokenizer.get_vocab()['<|endoftext|>'], 0)
  assert.equal(
    [tokenizer.bos_token, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.cls_token, tokenizer.cls_token_id],
    ['<|endoftext|>', 0, 0, null, null],
  )
  assert.equal([tokenizer.all_special_tokens, tokenizer.all_special_ids], [['<|endoftext|>'], [0]])
  tokenizer.pad_token = null
  assert.throws(
    () => tokenizer(['a', 'b'], { padding: true }),
    /no padding token.*tokenizer\.pad_token = tokenizer\.eos_token/,
  )
  tokenizer.pad_token = '[PAD]'
  assert.is(tokenizer.pad_token_id, 2048)
  assert.is(tokenizer.length, 2049)
  assert.equal(tokenizer.encode('a[PAD]'), [...tokenizer.encode('a'), 2048])
  assert.is(tokenizer.decode([2048, 0], { skip_special_tokens: true }), '')
  assert.is(tokenizer.add_tokens(['brave new', 'brave new', 'the']), 1, '"the" has a token already')
  assert.equal(tokenizer.encode('brave newthe').length, 2)
  assert.equal(tokenizer.encode('<|endoftext|>', { split_special_tokens: true }).length > 1, true)
})

test('added tokens: single words, stripped sides, the longest first', async () => {
  const tokenizer = await shakespeare()
  const plain = (text: string) => tokenizer.encode(text)
  const added = (content: string, flags: object) => {
    tokenizer.add_tokens({ content, normalized: false, ...flags })
    return tokenizer.convert_tokens_to_ids(content) as number
  }
  const [x, xy] = [added('@x', {}), added('@xy', {})]
  assert.equal(tokenizer.encode('@xyz@x'), [xy, ...plain('z'), x])
  const left = added('@left', { lstrip: true })
  const right = added('@right', { rstrip: true })
  assert.equal(tokenizer.encode('a \n@left b'), [...plain('a'), left, ...plain(' b')])
  assert.equal(tokenizer.encode('a @right \u3000b'), [...plain('a '), right, ...plain('b')])
  assert.equal(tokenizer.encode('@right  @left'), [right, left])
  const word = added('word', { single_word: true })
  assert.equal(tokenizer.encode('a word, 日word'), [...plain('a '), word, ...plain(', 日word')])
  assert.not(tokenizer.encode('words 𝐰word word_ 𝐰').includes(word))
})

test('options that are unknown, unsupported or senseless are refused by name', async () => {
  const tokenizer = await shakespeare()
  const call =
    (options: object, ...texts: (string | string[])[]) =>
    () =>
      tokenizer._call(texts[0] ?? 'a', texts[1], options)
  assert.throws(call({ paddding: true }), /unsupported option paddding\. Supported: .*padding/)
  assert.not.throws(call({ stride: 0, verbose: false, return_offsets_mapping: false }))
  assert.throws(
    call({ return_overflowing_tokens: true, truncation: true, max_length: 3 }, 'a b', 'c d'),
    /return_overflowing_tokens with two texts and truncation: "longest_first" is not supported/,
  )
  assert.throws(
    call({ stride: 2, truncation: true, max_length: 2 }, 'a long text'),
    /stride: expected less than the 2 ids/,
  )
  assert.throws(call({ is_split_into_words: true }, ['a'], 'b'), /text_pair\[0\]: expected a list of words/)
  assert.throws(call({ padding: 'longst' }), /padding: "longst" is not supported/)
  assert.throws(call({ truncation: 'first' }), /truncation: "first" is not supported/)
  assert.throws(call({ padding_side: 'top', padding: true }), /padding_side: "top" is not supported/)
  assert.throws(call({ return_tensors: 'np' }), /return_tensors: "np" is not supported/)
  assert.throws(call({ truncation: 'only_second', max_length: 0 }), /'only_second' needs a second text/)
  assert.throws(
    call({ truncation: 'only_first', max_length: 2 }, 'a', 'a long second text'),
    /"only_first" cannot take/,
  )
  assert.throws(
    call({ max_length: 8, truncation: true, padding: true, pad_to_multiple_of: 3 }),
    /expected a multiple of pad_to_multiple_of \(3\), found 8/,
  )
  assert.throws(call({ max_length: -1 }), /max_length: expected a whole number/)
  assert.throws(call({}, ['a'], 'b'), /text_pair: expected a list/)
  assert.throws(call({}, 'a', ['b']), /text_pair: expected one text/)
  assert.throws(call({}, ['a', 'b'], ['c']), /text_pair: expected 2 texts, as in text, found 1/)
  assert.throws(() => tokenizer([1 as unknown as string]), /text\[0\]: expected a string, found number/)
  assert.throws(() => tokenizer.decode([1], { skip: true } as object), /decode: unsupported option skip/)
})

test('a saved tokenizer loads again, with what was changed', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'rushlight-'))
  try {
    const tokenizer = await shakespeare()
    tokenizer.add_special_tokens({ pad_token: '[PAD]', extra_special_tokens: ['<tool>'] })
    tokenizer.chat_template = '{{ messages[0].content }}'
    tokenizer.padding_side = 'left'
    await tokenizer.save_pretrained(directory)
    const again = await AutoTokenizer.from_pretrained(directory)
    const texts = ['to be[PAD]', 'or not to be<tool>']
    assert.equal(again(texts, { padding: true }), tokenizer(texts, { padding: true }))
    assert.is(again.chat_template, tokenizer.chat_template)
    assert.equal(again.all_special_tokens, tokenizer.all_special_tokens)
    assert.is((await AutoTokenizer.from_pretrained(directory, { padding_side: 'right' })).padding_side, 'right')
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a tokenizer saved to sinks: several templates', async () => {
  const sinks = new Map<string, ReturnType<typeof bytesSink>>()
  const save = (tokenizer: PreTrainedTokenizer) => {
    sinks.clear()
    return tokenizer.save_pretrained((file) => {
      const sink = bytesSink(file)
      sinks.set(file, sink)
      return sink
    })
  }
  const load = () =>
    AutoTokenizer.from_pretrained(
      new MemoryRepository([...sinks].map(([file, sink]) => [file, new TextDecoder().decode(sink.bytes())])),
    )
  const tokenizer = await shakespeare()
  tokenizer.chat_template = { default: 'one', tool_use: 'two' }
  assert.equal(await save(tokenizer), [
    'tokenizer.json',
    'tokenizer_config.json',
    'chat_template.jinja',
    'additional_chat_templates/tool_use.jinja',
  ])
  assert.equal((await load()).chat_template, { default: 'one', tool_use: 'two' })
  tokenizer.chat_template = { rag: 'three' }
  await save(tokenizer)
  assert.equal((await load()).chat_template, { rag: 'three' })
  tokenizer.chat_template = { default: 'one', '../two': 'two' }
  const error = await save(tokenizer).catch((error: Error) => error.message)
  assert.match(String(error), /"\.\.\/two" cannot be a file's name/)
})

test('what cannot be loaded says what was looked for', async () => {
  const message = async (promise: Promise<unknown>) =>
    promise.then(
      () => 'no error',
      (error) => (error as Error).message,
    )
  assert.match(
    await message(AutoTokenizer.from_pretrained('./nobody/nothing')),
    /nobody\/nothing: there is no such local directory/,
  )
  assert.match(
    await message(AutoTokenizer.from_pretrained('nothing.gguf')),
    /nothing\.gguf: cannot be opened: no such file/,
  )
  assert.match(await message(AutoTokenizer.from_pretrained('tests')), /tests: there is no tokenizer\.json/)
  assert.match(
    await message(AutoTokenizer.from_pretrained('tests', { revison: 'x' } as object)),
    /unsupported option revison/,
  )
  assert.match(
    await message(AutoTokenizer.from_pretrained('tests', { trust_remote_code: true })),
    /trust_remote_code: true is not supported/,
  )
  const broken = (json: string) => new MemoryRepository([['tokenizer.json', json]], 'broken')
  assert.match(await message(AutoTokenizer.from_pretrained(broken('{'))), /broken\/tokenizer\.json/)
  assert.match(
    await message(AutoTokenizer.from_pretrained(broken('{}'))),
    /broken\/tokenizer\.json: model: expected an object/,
  )
  assert.match(
    await message(AutoTokenizer.from_pretrained(broken('{"model":{"type":"BPE"}}'))),
    /broken\/tokenizer\.json: the tokenizer is damaged/,
  )
  assert.match(
    await message(AutoTokenizer.from_pretrained(broken('{"model":{"type":"Magic"}}'))),
    /model: "Magic" is not supported\. Supported: "BPE"/,
  )
})

test('older repositories spread their tokens over several files', async () => {
  const json = readFileSync('examples/train-shakespeare/tokenizer.json', 'utf8')
  const repository = new MemoryRepository([
    ['tokenizer.json', json],
    ['tokenizer_config.json', '{"model_max_length": 8, "chat_template": [{"name": "default", "template": "old"}]}'],
    [
      'special_tokens_map.json',
      '{"eos_token": {"content": "<|endoftext|>", "lstrip": false}, "mask_token": {"content": "<mask>", "lstrip": true}}',
    ],
    ['added_tokens.json', '{"<new>": 3000}'],
    ['chat_template.jinja', 'new'],
  ])
  const tokenizer = await AutoTokenizer.from_pretrained(repository)
  assert.is(tokenizer.eos_token_id, 0)
  assert.is(tokenizer.convert_tokens_to_ids('<new>'), 3000)
  assert.equal(tokenizer.encode('a  <mask>').length, 2, 'a space before is part of the token')
  assert.is(tokenizer.chat_template, 'new')
  assert.is(tokenizer('a long text that is cut to what the model takes', { truncation: true }).input_ids.length, 8)
})

test('bos and eos stand where the config wants them', async () => {
  const tokenizer = await AutoTokenizer.from_pretrained('examples/train-shakespeare', {
    add_bos_token: true,
    add_eos_token: true,
    eos_token: '<end>',
  })
  const [bos, eos] = [tokenizer.bos_token_id, tokenizer.eos_token_id]
  const a = tokenizer.encode('a', { add_special_tokens: false })
  assert.equal(
    { ...tokenizer('a', 'a', { return_special_tokens_mask: true, return_token_type_ids: true }) },
    {
      input_ids: [bos, ...a, eos, bos, ...a, eos],
      token_type_ids: [0, 0, 0, 1, 1, 1],
      attention_mask: [1, 1, 1, 1, 1, 1],
      special_tokens_mask: [1, 0, 1, 1, 0, 1],
    },
  )
  assert.is(tokenizer.num_special_tokens_to_add(true), 4)
  assert.equal(tokenizer('a a a a', { max_length: 3 }).input_ids.length, 3)
})

test('a stream holds back half characters and spaces that may go, and ends clean', async () => {
  const tokenizer = await shakespeare()
  const stream = new StreamDecoder(tokenizer, { skip_special_tokens: true })
  const bytes = tokenizer.encode('é😀')
  assert.equal(
    [...bytes, 0].map((id) => stream.push([id])),
    ['', 'é', '', '', '', '😀', ''],
  )
  assert.is(stream.push(bytes.slice(0, 1)), '')
  assert.is(stream.flush(), '\ufffd')
  assert.is(stream.push(bytes.slice(0, 2)), 'é', 'another sequence')

  const words = ['it', "'", 's', 'done', '.', 'I', 'do', "n't", 'see', 'n', 'or', "'ve"]
  const vocab = Object.fromEntries(['[UNK]', ...words].map((token, id) => [token, id]))
  const spaced = new PreTrainedTokenizer({
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'WhitespaceSplit' },
    post_processor: null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
    model: { type: 'WordPiece', unk_token: '[UNK]', vocab },
  })
  const cleaning = new StreamDecoder(spaced, { clean_up_tokenization_spaces: true })
  const ids = spaced.encode(words.join(' '))
  const pieces = ids.map((id) => cleaning.push([id]))
  assert.is(pieces.join('') + cleaning.flush(), "it's done. I don't see n or've")
  assert.equal(pieces.slice(0, 4), ['it', '', "'s", ' done'])
})

test.run()
