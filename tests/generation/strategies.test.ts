// Strategies, caches and options of generate() against each other: what must change the text, and what must not.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/generation/generate.ts'
import { GenerationConfig } from '../../src/generation/config.ts'
import type { GenerateOptions } from '../../src/generation/generate.ts'
import { softmax } from '../../src/generation/logits-process.ts'
import { TextIteratorStreamer } from '../../src/generation/streamers.ts'
import { AutoModelForCausalLM, DynamicCache, QuantizedCache, StaticCache } from '../../src/models/index.ts'
import type { LlamaForCausalLM } from '../../src/models/index.ts'
import { tensor } from '../../src/ops/creation.ts'
import { randn } from '../../src/ops/random.ts'
import { manual_seed } from '../../src/ops/generator.ts'
import { no_grad } from '../../src/tensor/autograd.ts'
import { tidy } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { AutoTokenizer } from '../../src/tokenizers/index.ts'
import { heapUsage } from '../../src/wasm/index.ts'

const golden = 'tests/golden/models'
const prompt = [5, 50, 7, 30, 9, 50, 7, 31, 5, 50, 7]
const load = async (name: string, options: object = {}) => {
  const model = await AutoModelForCausalLM.from_pretrained(`${golden}/${name}`, { dtype: 'float32', ...options })
  model.generation_config = {}
  return model
}
type Model = Awaited<ReturnType<typeof load>>

async function ids(model: Model, options: GenerateOptions, input = prompt): Promise<number[][]> {
  const out = await model.generate({ input_ids: [input], ...options })
  const rows = out.tolist() as number[][]
  out.dispose()
  return rows
}

/** A test that leaves nothing in the heap. */
function clean(name: string, fn: () => Promise<void>): void {
  test(name, async () => {
    const before = heapUsage().used
    await fn()
    assert.is(heapUsage().used, before)
  })
}

async function refused(promise: Promise<unknown>, words: RegExp): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error as Error,
  )
  assert.ok(error, `expected ${words}`)
  assert.match(error.message, words)
}

clean('drafts change nothing in greedy text: of a perfect assistant, of a hopeless one, of the prompt', async () => {
  const model = await load('llama-mha')
  const other = await load('mistral')
  const twin = await load('llama-mha')
  const options = { max_new_tokens: 24 }
  const plain = await ids(model, options)
  const cases: GenerateOptions[] = [
    { assistant_model: twin },
    { assistant_model: twin, num_assistant_tokens: 1, assistant_confidence_threshold: 0 },
    { assistant_model: twin, num_assistant_tokens: 5, num_assistant_tokens_schedule: 'heuristic' },
    { prompt_lookup_num_tokens: 3 },
    { prompt_lookup_num_tokens: 10, max_matching_ngram_size: 3 },
    { prompt_lookup_num_tokens: 4, use_cache: false },
    { prompt_lookup_num_tokens: 4, cache_implementation: 'static' },
  ]
  if (other.config.vocab_size === model.config.vocab_size)
    cases.push({ assistant_model: other, assistant_confidence_threshold: 0 })
  for (const drafts of cases)
    assert.equal(await ids(model, { ...options, ...drafts }), plain, JSON.stringify(Object.keys(drafts)))
  const end = plain[0][prompt.length + 5]
  const ended = await ids(model, { ...options, eos_token_id: end })
  assert.equal(await ids(model, { ...options, eos_token_id: end, assistant_model: twin }), ended)
  await refused(
    ids(model, { ...options, assistant_model: twin, num_beams: 2 }),
    /assistant_model works on one sequence/,
  )
  await refused(
    ids(model, { ...options, prompt_lookup_num_tokens: 2, cache_implementation: 'quantized' }),
    /cache_implementation with prompt_lookup_num_tokens/,
  )
  for (const each of [model, other, twin]) each.dispose()
})

clean('sampled text keeps its distribution under drafts', async () => {
  const model = await load('llama-mha')
  const twin = await load('llama-mha')
  // The twin's last norm is changed, so that it drafts by another distribution.
  no_grad(() => tidy(() => void (twin as unknown as LlamaForCausalLM).model.norm.state_dict().get('weight')?.mul_(0.5)))
  const options = { do_sample: true, top_k: 6, temperature: 1.5, max_new_tokens: 3 }
  const expected = tidy(() => {
    const { logits } = (model as unknown as LlamaForCausalLM)({ input_ids: [prompt], logits_to_keep: 1 })
    const scores = logits.view([-1]).div(1.5).data as Float32Array
    const least = [...scores].sort((a, b) => b - a)[5]
    return softmax(scores.map((x) => (x < least ? Number.NEGATIVE_INFINITY : x)))
  })
  const n = 1500
  for (const drafts of [
    { assistant_model: twin, assistant_confidence_threshold: 0 },
    { prompt_lookup_num_tokens: 2 },
  ]) {
    const counts = new Map<number, number>()
    for (let seed = 0; seed < n; seed++) {
      const id = (await ids(model, { ...options, ...drafts, seed }))[0][prompt.length]
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    expected.forEach((p, id) => {
      const found = (counts.get(id) ?? 0) / n
      assert.ok(Math.abs(found - p) <= 5 * Math.sqrt((p * (1 - p)) / n), `${id}: ${found}, expected ${p}`)
    })
  }
  model.dispose()
  twin.dispose()
})

clean('several samples of each prompt; beams that are drawn', async () => {
  const model = await load('llama-mha')
  const sampled = await ids(model, {
    do_sample: true,
    num_return_sequences: 4,
    max_new_tokens: 8,
    seed: 3,
    temperature: 3,
  })
  assert.is(sampled.length, 4)
  assert.is(new Set(sampled.map(String)).size, 4)
  for (const row of sampled) assert.equal(row.slice(0, prompt.length), prompt)
  const drawn = (seed: number) =>
    ids(model, { do_sample: true, num_beams: 3, num_return_sequences: 3, max_new_tokens: 6, seed, temperature: 2 })
  const first = await drawn(1)
  assert.equal(await drawn(1), first)
  assert.is.not(String(await drawn(2)), String(first))
  // With one token to choose from, there is nothing to draw.
  const certain = await ids(model, { do_sample: true, top_k: 1, max_new_tokens: 6, num_return_sequences: 2, seed: 5 })
  assert.equal(certain[0], (await ids(model, { max_new_tokens: 6 }))[0])
  assert.equal(certain[1], certain[0])
  await refused(ids(model, { num_return_sequences: 2 }), /num_return_sequences: greedy search has one result/)
  await refused(ids(model, { num_beams: 2, num_return_sequences: 3 }), /at most num_beams \(2\), found 3/)
  model.dispose()
})

clean('windowed layers crop themselves and change nothing', async () => {
  for (const name of ['mistral', 'gemma2', 'gemma3']) {
    const model = await load(name)
    const options = { max_new_tokens: 60, max_length: undefined }
    const cache = new DynamicCache()
    const out = await model.generate({ input_ids: [prompt], ...options, past_key_values: cache })
    assert.equal(out.tolist(), await ids(model, { ...options, use_cache: false }), name)
    assert.is(cache.get_seq_length(), prompt.length + 59)
    out.dispose()
    cache.dispose()
    model.dispose()
  }
})

clean('beams carry windows and states along, and what cannot go back refuses drafts', async () => {
  for (const name of ['mistral', 'lfm2', 'mamba']) {
    const model = await load(name)
    const options = { num_beams: 3, num_return_sequences: 3, max_new_tokens: 12 }
    assert.equal(await ids(model, options), await ids(model, { ...options, use_cache: false }), name)
    if (name !== 'mistral')
      await refused(
        ids(model, { prompt_lookup_num_tokens: 3, max_new_tokens: 20 }),
        /states of convolutions and recurrences/,
      )
    model.dispose()
  }
})

clean('a cache goes on where it stopped, after having been saved too, and beside another text', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rushlight-cache-'))
  for (const name of ['llama-gqa-biases', 'mistral', 'lfm2']) {
    const model = await load(name)
    const [whole] = await ids(model, { max_new_tokens: 12 })
    const first = await model.generate({ input_ids: [prompt], max_new_tokens: 5, return_dict_in_generate: true })
    const [half] = first.sequences.tolist() as number[][]
    first.sequences.dispose()
    const cache = first.past_key_values as DynamicCache
    assert.is(cache.get_seq_length(), prompt.length + 4)
    await cache.save(join(folder, 'cache.safetensors'))
    assert.equal(await ids(model, { max_new_tokens: 7, past_key_values: cache }, half), [whole], name)
    cache.dispose()
    const loaded = await DynamicCache.load(join(folder, 'cache.safetensors'))
    assert.equal(await ids(model, { max_new_tokens: 7, past_key_values: loaded }, half), [whole], `${name}, loaded`)
    await refused(ids(model, { max_new_tokens: 2, past_key_values: loaded }, half), /past_key_values hold/)
    loaded.dispose()
    model.dispose()
  }
  await refused(
    DynamicCache.load(`${golden}/llama-mha/model.safetensors`),
    /expected a cache that was saved by cache.save/,
  )
  rmSync(folder, { recursive: true })
})

clean('static and quantized caches', async () => {
  const model = await load('llama-gqa-biases')
  const [plain] = await ids(model, { max_new_tokens: 20 })
  for (const cache_implementation of ['dynamic', 'static', 'hybrid', 'sliding_window'])
    assert.equal(await ids(model, { max_new_tokens: 20, cache_implementation }), [plain])
  const quantized = await ids(model, {
    max_new_tokens: 20,
    cache_implementation: 'quantized',
    cache_config: { backend: 'quanto', nbits: 8, residual_length: 4, q_group_size: 4 },
  })
  assert.equal(quantized, [plain])
  await refused(
    ids(model, { cache_implementation: 'offloaded' }),
    /cache_implementation: "offloaded".*Supported: "dynamic"/,
  )
  await refused(
    ids(model, { cache_implementation: 'quantized', cache_config: { nbits: 2 } }),
    /nbits: 2.*Supported: 4, 8/,
  )
  await refused(ids(model, { cache_implementation: 'quantized', cache_config: { bits: 2 } }), /unsupported option bits/)
  assert.throws(() => new StaticCache({ max_cache_len: 0 }), /max_cache_len/)
  const small = new StaticCache({ max_cache_len: prompt.length + 2 })
  await refused(ids(model, { max_new_tokens: 9, past_key_values: small }), /do not fit max_cache_len/)
  small.dispose()
  model.dispose()
})

clean('a quantized cache is as near as its bits, and as small', async () => {
  manual_seed(1)
  const [B, H, T, D] = [1, 4, 512, 64]
  const [keys, values] = [randn([B, H, T, D]), randn([B, H, T, D])]
  const one = randn([B, H, 1, D])
  const sizes: number[] = []
  for (const [cache, most] of [
    [new DynamicCache(), 0],
    [new QuantizedCache({ nbits: 8, q_group_size: 64, residual_length: 128 }), 0.02],
    [new QuantizedCache({ nbits: 4, q_group_size: 64, residual_length: 128 }), 0.3],
  ] as const) {
    const before = heapUsage().used
    tidy(() => void cache.update(keys, values, 0))
    sizes.push(heapUsage().used - before)
    tidy(() => {
      const found = cache.update(one, one, 0)
      assert.equal(found.keys.shape, [B, H, T + 1, D])
      const error = found.keys.narrow(2, 0, T).sub(keys).abs().max().item()
      assert.ok(error <= most && error >= most / 10, `${error}, at most ${most}`)
      assert.is(found.values.narrow(2, T, 1).sub(one).abs().max().item(), 0, 'the newest stay as they are')
    })
    assert.is(cache.get_seq_length(), T + 1)
    cache.dispose()
    assert.is(heapUsage().used, before)
  }
  const [full, eight, four] = sizes
  assert.ok(eight < 0.35 * full && four < 0.2 * full, sizes.join())
  for (const t of [keys, values, one]) t.dispose()
})

clean('two calls at the same time do not disturb each other', async () => {
  const model = await load('llama-gqa-biases')
  const options = [
    { max_new_tokens: 15 },
    { max_new_tokens: 10, do_sample: true, seed: 4, temperature: 2 },
    { max_new_tokens: 9, num_beams: 3 },
    { max_new_tokens: 12, prompt_lookup_num_tokens: 3 },
  ]
  const alone: number[][][] = []
  for (const each of options) alone.push(await ids(model, each))
  assert.equal(await Promise.all(options.map((each) => ids(model, each))), alone)
  model.dispose()
})

clean('the caller’s own processors, criteria and allowed tokens', async () => {
  const model = await load('llama-mha')
  const seen: number[] = []
  const only = await ids(model, {
    max_new_tokens: 5,
    logits_processor: [
      (scores, ids) => void (seen.push(ids.length), scores.fill(Number.NEGATIVE_INFINITY), (scores[ids.length] = 1)),
    ],
  })
  assert.equal(only[0].slice(prompt.length), [11, 12, 13, 14, 15])
  assert.equal(seen, [11, 12, 13, 14, 15])
  const replaced = await ids(model, { max_new_tokens: 2, logits_processor: [(scores) => scores.map((x) => -x)] })
  assert.is.not(String(replaced), String(await ids(model, { max_new_tokens: 2 })))
  const stopped = await ids(model, {
    max_new_tokens: 50,
    stopping_criteria: [(ids) => ids.length === prompt.length + 4],
  })
  assert.is(stopped[0].length, prompt.length + 4)
  const allowed = await ids(model, {
    max_new_tokens: 6,
    prefix_allowed_tokens_fn: (batch, ids) => [40 + batch, 50 + (ids.length % 2)],
  })
  for (const id of allowed[0].slice(prompt.length)) assert.ok([40, 50, 51].includes(id))
  const brief = await ids(model, { max_new_tokens: 1000, max_time: 1e-6 })
  assert.is(brief[0].length, prompt.length + 1)
  await refused(ids(model, { logits_processor: [5] as never }), /logits_processor: expected a list of functions/)
  await refused(ids(model, { stop_strings: 'x' }), /stop_strings need the tokenizer/)
  model.dispose()
})

clean('embeddings in place of ids, and in front of them', async () => {
  const model = await load('llama-mha')
  const options = { max_new_tokens: 6 }
  const [plain] = await ids(model, options)
  const embed = model.get_input_embeddings() as unknown as (ids: Tensor) => Tensor
  const table = (given: number[]) => no_grad(() => tidy(() => embed(tensor([given], { dtype: 'int64' }))))
  const whole = table(prompt)
  const out = await model.generate({ inputs_embeds: whole, ...options })
  assert.equal(out.tolist(), [plain.slice(prompt.length)])
  const lead = table(prompt.slice(0, 4))
  const behind = await model.generate({ inputs_embeds: lead, input_ids: [prompt.slice(4)], ...options })
  assert.equal(behind.tolist(), [plain.slice(4)])
  for (const t of [whole, out, lead, behind]) t.dispose()
  model.dispose()
})

clean('hidden states and attention weights of each step', async () => {
  const model = await load('llama-mha', { attn_implementation: 'eager' })
  const { sequences, hidden_states, attentions, past_key_values } = await model.generate({
    input_ids: [prompt],
    max_new_tokens: 3,
    return_dict_in_generate: true,
    output_hidden_states: true,
    output_attentions: true,
  })
  const layers = model.config.num_hidden_layers as number
  assert.equal(
    hidden_states?.map((step) => step.length),
    [layers + 1, layers + 1, layers + 1],
  )
  assert.equal(
    hidden_states?.map(([x]) => x.shape[1]),
    [prompt.length, 1, 1],
  )
  assert.equal(
    attentions?.map(([x]) => x.shape.slice(2)),
    [
      [prompt.length, prompt.length],
      [1, prompt.length + 1],
      [1, prompt.length + 2],
    ],
  )
  for (const t of [sequences, ...(hidden_states ?? []).flat(), ...(attentions ?? []).flat()]) t.dispose()
  past_key_values?.dispose()
  model.dispose()
})

clean('text as an async iterable', async () => {
  const path = 'examples/train-shakespeare/model'
  const model = await AutoModelForCausalLM.from_pretrained(path)
  const tokenizer = await AutoTokenizer.from_pretrained(path)
  const { input_ids } = tokenizer('ROMEO')
  const streamer = new TextIteratorStreamer(tokenizer, { skip_prompt: true })
  const call = model.generate({ input_ids: [input_ids as number[]], max_new_tokens: 12, do_sample: false, streamer })
  const pieces: string[] = []
  for await (const piece of streamer) pieces.push(piece)
  const out = await call
  const [row] = out.tolist() as number[][]
  assert.is(pieces.join(''), tokenizer.decode(row.slice((input_ids as number[]).length)))
  assert.ok(pieces.length > 4)
  out.dispose()
  model.dispose()
})

test('a GenerationConfig is read, changed and written', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rushlight-config-'))
  const config = new GenerationConfig({ max_new_tokens: 7, num_beams: 3, eos_token_id: [1, 2], seed: 4 })
  await config.save_pretrained(folder)
  const again = await GenerationConfig.from_pretrained(folder, { top_p: 0.5, local_files_only: true })
  assert.equal(again.to_dict(), { ...config.to_dict(), top_p: 0.5 })
  assert.equal(config.to_diff_dict(), { max_new_tokens: 7, num_beams: 3, eos_token_id: [1, 2], seed: 4 })
  assert.is(config.update({ num_beams: 1 }).num_beams, 1)
  assert.throws(() => config.update({ num_beams: 0 }), /num_beams: expected a whole number from 1 up, found 0/)
  // An object is what was said, not the defaults behind it.
  const model = await load('llama-mha')
  model.generation_config = { max_new_tokens: 3 }
  const given = new GenerationConfig({ repetition_penalty: 1.5 })
  assert.is((await ids(model, { generation_config: given }))[0].length, prompt.length + 3)
  model.dispose()
  await refused(GenerationConfig.from_pretrained('tests'), /generation_config.json/)
  rmSync(folder, { recursive: true })
})

test('options that are not there, by name; flags that do nothing are warned of once', async () => {
  for (const option of [
    'num_beam_groups',
    'penalty_alpha',
    'constraints',
    'force_words_ids',
    'dola_layers',
    'watermarking_config',
    'token_healing',
    'low_memory',
    'diversity_penalty',
  ])
    assert.throws(
      () => new GenerationConfig({ [option]: 3 }),
      new RegExp(`unsupported option ${option}\\. Supported: max_length`),
    )
  const model = await load('llama-mha')
  const said: string[] = []
  const { warn } = console
  console.warn = (text: string) => void said.push(text)
  try {
    for (let i = 0; i < 2; i++) await ids(model, { max_new_tokens: 1, temperature: 0.31, length_penalty: 2.5 })
    model.generation_config = { temperature: 0.3, num_beam_groups: 4 } as object
    for (let i = 0; i < 2; i++) await ids(model, { max_new_tokens: 1 })
  } finally {
    console.warn = warn
  }
  assert.is(said.length, 3, said.join('\n'))
  assert.match(said[0], /temperature: 0.31 has no effect without do_sample: true/)
  assert.match(said[1], /length_penalty: 2.5 has no effect without num_beams above 1/)
  assert.match(said[2], /generation_config.json asks for what is not supported and left out: num_beam_groups/)
  model.dispose()
})

test.run()
