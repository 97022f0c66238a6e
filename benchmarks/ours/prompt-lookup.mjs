// Prompt lookup on a prompt like a summary's, whose answer repeats much of it: SmolLM2, in the file's own 4 bits and in float32. The text
// must be that of plain greedy decoding.
//   node benchmarks/ours/prompt-lookup.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { models, report } from '../measure.mjs'
import { rushlight, seconds, threads, who } from './setup.mjs'

const { AutoModelForCausalLM, AutoTokenizer } = rushlight
const ARTICLE = `The town of Brannfoss lies where two rivers meet, forty kilometres from the coast. Until 1911 it had no railway, and all
timber went down the river in spring. In that year the Brannfoss line was opened, and within ten years the town had three sawmills, a paper
factory and four thousand people. The paper factory closed in 1987. Since then most people have worked in the hospital, in the school, or in
one of the small firms that build boats.`
const NEW_TOKENS = 90
const LOOKUP = { prompt_lookup_num_tokens: 10, max_matching_ngram_size: 3 }

const tokenizer = await AutoTokenizer.from_pretrained(models.smollm2)
const { input_ids } = tokenizer.apply_chat_template(
  [
    { role: 'user', content: `Copy this text.\n\n${ARTICLE}` },
    { role: 'assistant', content: ARTICLE },
    { role: 'user', content: 'Again, please.' },
  ],
  { add_generation_prompt: true },
)

/** The text, and the time from the first new token to the last. */
async function run(model, options) {
  const times = []
  const streamer = { put: () => times.push(performance.now()), end() {} } // the prompt, then what each step gains
  const given = { input_ids: [input_ids], max_new_tokens: NEW_TOKENS, do_sample: false, eos_token_id: null, streamer }
  const out = await model.generate({ ...given, ...options })
  const text = tokenizer.decode(out.tolist()[0])
  out.dispose()
  return { text, milliseconds: times.at(-1) - times[1] }
}

for (const [name, dtype] of [
  ['4 bits', 'auto'],
  ['float32', 'float32'],
]) {
  const model = await AutoModelForCausalLM.from_pretrained(models.smollm2, { dtype })
  const best = { plain: Number.POSITIVE_INFINITY, lookup: Number.POSITIVE_INFINITY }
  const until = performance.now() + 2000 * seconds
  for (let runs = 0; runs < 3 || performance.now() < until; runs++) {
    const plain = await run(model, {})
    const lookup = await run(model, LOOKUP)
    if (plain.text !== lookup.text) throw new Error('prompt lookup changed the text')
    best.plain = Math.min(best.plain, plain.milliseconds)
    best.lookup = Math.min(best.lookup, lookup.milliseconds)
  }
  const work = `greedy text, ${name}`
  report({ who: 'itself, plain', work, threads, value: (NEW_TOKENS / best.plain) * 1000, unit: 'tok/s' })
  report({ who: `${who}, prompt lookup`, work, threads, value: (NEW_TOKENS / best.lookup) * 1000, unit: 'tok/s' })
  model.dispose()
}
