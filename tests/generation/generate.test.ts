// generate(): cache, batches, streams, signals, seeds, limits and errors, on the small golden models.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/generation/generate.ts'
import { AutoModelForCausalLM } from '../../src/models/index.ts'
import type { PreTrainedModel } from '../../src/models/model.ts'
import { heapUsage, init } from '../../src/wasm/index.ts'

const path = 'tests/golden/models/llama-gqa-biases'
const prompt = (
  JSON.parse(readFileSync(`${path}/golden.json`, 'utf8')) as { batches: { plain: { input_ids: number[][] } } }
).batches.plain.input_ids[0]

/** Runs with a fresh model, and asserts that nothing is left. */
function generating(
  name: string,
  fn: (model: PreTrainedModel, generate: (options: object) => Promise<number[][]>) => Promise<void>,
): void {
  test(name, async () => {
    const before = heapUsage().used
    const model = await AutoModelForCausalLM.from_pretrained(path)
    model.generation_config = {}
    await fn(model, async (options) => {
      const out = await model.generate({ input_ids: [prompt], ...options })
      const rows = out.tolist() as number[][]
      out.dispose()
      return rows
    })
    model.dispose()
    assert.is(heapUsage().used - before, 0)
  })
}

generating('the cache changes nothing but the work', async (_, generate) => {
  const [cached] = await generate({ max_new_tokens: 12 })
  assert.equal(await generate({ max_new_tokens: 12, use_cache: false }), [cached])
  assert.is(cached.length, prompt.length + 12)
})

generating('a left-padded batch gives what each row gives alone', async (_, generate) => {
  const short = prompt.slice(0, 5)
  const [long] = await generate({ max_new_tokens: 8 })
  const [alone] = await generate({ input_ids: [short], max_new_tokens: 8 })
  const pad = new Array<number>(prompt.length - short.length).fill(0)
  const rows = await generate({
    input_ids: [prompt, [...pad, ...short]],
    attention_mask: [prompt.map(() => 1), [...pad, ...short.map(() => 1)]],
    max_new_tokens: 8,
  })
  assert.equal(rows, [long, [...pad, ...alone]])
})

generating('a seed gives the same tokens, another seed others, on any number of threads', async (model, generate) => {
  const sampled = (seed: number) => generate({ max_new_tokens: 16, do_sample: true, temperature: 2, seed })
  const first = await sampled(1)
  assert.equal(await sampled(1), first)
  assert.not.equal(await sampled(2), first)
  model.dispose()
  await init({ threads: 1 })
  const single = await AutoModelForCausalLM.from_pretrained(path)
  single.generation_config = {}
  const out = await single.generate({
    input_ids: [prompt],
    max_new_tokens: 16,
    do_sample: true,
    temperature: 2,
    seed: 1,
  })
  assert.equal(out.tolist(), first)
  out.dispose()
  single.dispose()
  await init({ threads: 2 })
})

generating('two calls at the same time both come out right', async (_, generate) => {
  const other = prompt.map((id) => (id + 7) % 90)
  const alone = [await generate({ max_new_tokens: 10 }), await generate({ input_ids: [other], max_new_tokens: 10 })]
  assert.equal(
    await Promise.all([generate({ max_new_tokens: 10 }), generate({ input_ids: [other], max_new_tokens: 10 })]),
    alone,
  )
})

generating('ends at an end token, not before min_new_tokens, and never past the limits', async (_, generate) => {
  const [free] = await generate({ max_new_tokens: 10 })
  const end = free[prompt.length + 3]
  const first = free.indexOf(end, prompt.length)
  assert.equal(await generate({ max_new_tokens: 10, eos_token_id: [end, 99] }), [free.slice(0, first + 1)])
  const [least] = await generate({ max_new_tokens: 10, min_new_tokens: 6, eos_token_id: end })
  assert.ok(least.length >= prompt.length + 6)
  assert.is((await generate({ max_length: prompt.length + 2 }))[0].length, prompt.length + 2)
})

generating('the streamer gets the prompt, then each token', async (_, generate) => {
  const seen: number[][] = []
  let ended = 0
  const [row] = await generate({
    max_new_tokens: 5,
    streamer: { put: (ids: number[]) => void seen.push([...ids]), end: () => void ended++ },
  })
  assert.equal(seen, [prompt, ...row.slice(prompt.length).map((id) => [id])])
  assert.is(ended, 1)
})

generating('an aborted signal rejects with its reason, and frees everything', async (_, generate) => {
  const controller = new AbortController()
  let tokens = 0
  const streamer = { put: () => void (++tokens === 4 && controller.abort(new Error('enough'))), end: () => {} }
  try {
    await generate({ max_new_tokens: 50, signal: controller.signal, streamer })
    assert.unreachable()
  } catch (error) {
    assert.is((error as Error).message, 'enough')
  }
  assert.is(tokens, 4)
})

generating('errors say what is wrong', async (_, generate) => {
  const refused = async (options: object, words: RegExp) => {
    try {
      await generate(options)
    } catch (error) {
      return assert.match((error as Error).message, words)
    }
    assert.unreachable(`expected ${words}`)
  }
  await refused({ input_ids: undefined }, /input_ids are missing/)
  await refused({ input_ids: [[]] }, /the prompt is empty/)
  await refused({ max_length: 3 }, /the prompt has \d+ tokens already, max_length is 3\. Hint: max_new_tokens/)
  await refused({ attention_mask: [[1, 1]] }, /attention_mask has shape \[1, 2\], expected that of the prompt/)
  await refused({ max_new_token: 3 }, /unsupported option max_new_token\. Supported: .*max_new_tokens/)
  await refused({ num_beam_groups: 3 }, /unsupported option num_beam_groups/)
  await refused(
    {
      input_ids: [
        [1, 2],
        [3, 4],
      ],
      streamer: { put: () => {}, end: () => {} },
    },
    /a streamer takes one sequence, found a batch of 2/,
  )
  await refused({ input_ids: [[1, 5000]] }, /5000/)
})

test.run()
