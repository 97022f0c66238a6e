// Pipelines on the model that ships in the repository: texts, chats, lists, options, errors.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AutoModelForCausalLM } from '../../src/models/index.ts'
import { pipeline } from '../../src/pipelines/pipeline.ts'
import { AutoTokenizer } from '../../src/tokenizers/index.ts'
import { heapUsage } from '../../src/wasm/index.ts'

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

test('errors a newcomer meets', async () => {
  await refused(
    pipeline('text-generatoin' as 'text-generation', path),
    /task.*text-generatoin.*Supported: .*text-generation/,
  )
  await refused(pipeline('text-generation'), /no model is given. Hint/)
  await refused(pipeline('text-generation', './nowhere'), /nowhere.*Hint/)
  await refused(pipeline('text-generation', 'tests'), /config\.json/)
  await refused(pipeline('text-generation', path, { dtype: 'float64' }), /float64.*Supported/)
  await refused(pipeline('text-generation', path, { device: 'cuda' }), /device.*cuda.*Supported: .*cpu/)
  await refused(pipeline('text-generation', path, { dtyp: 'float32' } as object), /dtyp/)
  const model = await AutoModelForCausalLM.from_pretrained(path)
  await refused(pipeline('text-generation', model), /needs its tokenizer/)
  model.dispose()
})

test('nothing is left in the heap', () => {
  assert.is(heapUsage().used, 0)
})

test.run()
