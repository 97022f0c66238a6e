// Pipelines on the model that ships in the repository: texts, chats, lists, options, errors.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { env } from '../../src/hub/index.ts'
import { AutoModelForCausalLM } from '../../src/models/index.ts'
import { pipeline } from '../../src/pipelines/pipeline.ts'
import { AutoTokenizer } from '../../src/tokenizers/index.ts'
import { heapUsage } from '../../src/wasm/index.ts'
import { startHub } from '../hub/server.ts'

const path = 'examples/train-shakespeare/model'

async function refused(promise: Promise<unknown>, words: RegExp): Promise<void> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof Error && !/undefined|ENOENT/.test(error.message), String(error))
    return assert.match(error.message, words)
  }
  assert.unreachable(`expected ${words}`)
}

test('text-generation: a text, a list, the answer alone', async () => {
  const before = heapUsage().used
  const pipe = await pipeline('text-generation', path)
  const options = { max_new_tokens: 12, do_sample: false }
  const [{ generated_text }] = (await pipe('ROMEO', options)) as { generated_text: string }[]
  assert.ok(generated_text.startsWith('ROMEO') && generated_text.length > 10, generated_text)
  const [[first], [second]] = (await pipe(['ROMEO', 'To be'], options)) as { generated_text: string }[][]
  assert.is(first.generated_text, generated_text)
  assert.ok(second.generated_text.startsWith('To be'))
  const [answer] = (await pipe('ROMEO', { ...options, return_full_text: false })) as { generated_text: string }[]
  assert.is(`ROMEO${answer.generated_text}`, generated_text)
  await refused(pipe('ROMEO', { ...options, top_kk: 3 } as object), /unsupported option top_kk/)
  await refused(pipe([{ role: 'user', content: 'hi' }], options), /chat.?template/i)
  pipe.dispose()
  assert.is(heapUsage().used, before)
})

test('text-generation: a chat comes back with the answer as its last message', async () => {
  const tokenizer = await AutoTokenizer.from_pretrained(path)
  tokenizer.chat_template =
    '{% for m in messages %}{{ m.role | upper }}:\n{{ m.content }}\n\n{% endfor %}{% if add_generation_prompt %}ROMEO:\n{% endif %}'
  const model = await AutoModelForCausalLM.from_pretrained(path)
  const pipe = await pipeline('text-generation', { model, tokenizer })
  const chat = [{ role: 'juliet', content: 'What man art thou?' }]
  const [{ generated_text }] = (await pipe(chat, { max_new_tokens: 8, do_sample: false })) as {
    generated_text: typeof chat
  }[]
  assert.equal(generated_text.slice(0, 1), chat)
  assert.is(generated_text[1].role, 'assistant')
  assert.ok(generated_text[1].content.length > 3)
  pipe.dispose()
})

test('text-generation samples 256 tokens unless it is told otherwise, and a length stands in their place', async () => {
  const model = await AutoModelForCausalLM.from_pretrained(path)
  const tokenizer = await AutoTokenizer.from_pretrained(path)
  const asked: Record<string, unknown>[] = []
  const generate = model.generate.bind(model)
  model.generate = ((options: Record<string, unknown>) => {
    asked.push(options)
    return generate({ ...options, max_new_tokens: 1, max_length: undefined })
  }) as typeof model.generate
  const defaults = { max_new_tokens: 256, do_sample: true, temperature: 0.7 }
  const call = async (given: object, options: object = {}) => {
    const pipe = await pipeline('text-generation', { model, tokenizer, ...given })
    await pipe('ROMEO', options)
    const { input_ids: _, pad_token_id: __, ...rest } = asked[asked.length - 1]
    return rest
  }
  model.generation_config = {}
  assert.equal(await call({}), defaults)
  assert.equal(await call({}, { max_length: 30 }), { do_sample: true, temperature: 0.7, max_length: 30 })
  assert.equal(await call({ max_length: 30, seed: 1 }), { do_sample: true, temperature: 0.7, max_length: 30, seed: 1 })
  assert.equal(await call({}, { do_sample: false }), { max_new_tokens: 256, do_sample: false })
  assert.equal(await call({ do_sample: false }, { max_new_tokens: 3 }), { do_sample: false, max_new_tokens: 3 })
  model.generation_config = { temperature: 0.2, max_new_tokens: 9, top_k: null }
  assert.equal(await call({}), { do_sample: true })
  model.generation_config = { do_sample: false, max_new_tokens: 9 }
  assert.equal(await call({}), {})
  model.dispose()
})

test('text-generation: ids, a prefix, a last message that is continued, a prompt that is too long', async () => {
  const model = await AutoModelForCausalLM.from_pretrained(path)
  const tokenizer = await AutoTokenizer.from_pretrained(path)
  tokenizer.chat_template = '{% for m in messages %}{{ m.role | upper }}:\n{{ m.content }}\n\n{% endfor %}'
  const pipe = await pipeline('text-generation', { model, tokenizer, do_sample: false, max_new_tokens: 6 })
  type Texts = { generated_text: string }[]
  const [{ generated_token_ids }] = (await pipe('ROMEO', { return_tensors: true })) as {
    generated_token_ids: number[]
  }[]
  const [{ generated_text }] = (await pipe('ROMEO')) as Texts
  assert.is(tokenizer.decode(generated_token_ids), generated_text)
  const [prefixed] = (await pipe('MEO', { prefix: 'RO' })) as Texts
  assert.is(`RO${prefixed.generated_text}`, generated_text)
  await refused(pipe('x', { return_tensors: true, return_full_text: false }), /exclude each other/)

  const chat = [{ role: 'assistant', content: 'What light' }]
  const [open] = (await pipe(chat)) as unknown as { generated_text: typeof chat }[]
  assert.is(open.generated_text.length, 1)
  assert.ok(open.generated_text[0].content.startsWith('What light') && open.generated_text[0].content.length > 10)

  const most = tokenizer.model_max_length
  const long = 'To be or not to be. '.repeat(most)
  const [kept] = (await pipe(long, { handle_long_generation: 'hole', return_tensors: true })) as {
    generated_token_ids: number[]
  }[]
  assert.is(kept.generated_token_ids.length, most)
  await refused(
    pipe(long, { handle_long_generation: 'gap' } as object),
    /handle_long_generation.*gap.*Supported: null, "hole"/,
  )
  await refused(pipe(long, { handle_long_generation: 'hole', max_new_tokens: most }), /do not fit the model/)
  pipe.dispose()
})

test('a task alone takes its own model from the Hub', async () => {
  const files = Object.fromEntries(
    readdirSync(path).map((file) => [
      file,
      { content: readFileSync(join(path, file)), lfs: file.endsWith('.safetensors') },
    ]),
  )
  const hub = await startHub({ repositories: { 'HuggingFaceTB/SmolLM2-135M-Instruct': { files } } })
  const cache_dir = mkdtempSync(join(tmpdir(), 'rushlight-pipeline-'))
  const { remoteHost } = env
  const { warn } = console
  const warned: string[] = []
  const told: string[] = []
  env.remoteHost = hub.url
  console.warn = (text: string) => void warned.push(text)
  try {
    const pipe = await pipeline('text-generation', null, {
      cache_dir,
      dtype: 'bfloat16',
      progress_callback: ({ status }: { status: string }) => void told.push(status),
    })
    const [{ generated_text }] = (await pipe('ROMEO', { max_new_tokens: 4, seed: 1 })) as { generated_text: string }[]
    assert.ok(generated_text.startsWith('ROMEO') && generated_text.length > 6)
    pipe.dispose()
    assert.match(warned[0], /no model is given, taking HuggingFaceTB\/SmolLM2-135M-Instruct/)
    for (const status of ['initiate', 'download', 'progress', 'done', 'ready']) assert.ok(told.includes(status), status)
    const offline = await pipeline('text-generation', { cache_dir, local_files_only: true })
    offline.dispose()
  } finally {
    console.warn = warn
    env.remoteHost = remoteHost
    await hub.close()
    rmSync(cache_dir, { recursive: true, force: true })
  }
})

test('errors a newcomer meets', async () => {
  await refused(
    pipeline('text-generatoin' as 'text-generation', path),
    /task.*text-generatoin.*Supported: .*text-generation/,
  )
  await refused(pipeline('text-generation', './nowhere'), /nowhere.*Hint/)
  await refused(pipeline('text-generation', 'tests'), /config\.json/)
  await refused(pipeline('text-generation', path, { dtype: 'float64' }), /float64.*Supported/)
  await refused(pipeline('text-generation', path, { device: 'cuda' }), /device.*cuda.*Supported: .*cpu/)
  await refused(pipeline('text-generation', path, { dtyp: 'float32' }), /dtyp/)
  const model = await AutoModelForCausalLM.from_pretrained(path)
  await refused(pipeline('text-generation', model), /needs its tokenizer/)
  model.dispose()
})

test('nothing is left in the heap', () => {
  assert.is(heapUsage().used, 0)
})

test.run()
