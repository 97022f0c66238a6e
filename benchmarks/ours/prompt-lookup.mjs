// Prompt lookup on a prompt like a summary's: SmolLM2 is asked to give back a text that stands in the prompt. The text must be that of
// plain greedy decoding.   node benchmarks/ours/prompt-lookup.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { models, report } from '../measure.mjs'
import { rushlight, seconds, threads, who } from './setup.mjs'

const { AutoModelForCausalLM, AutoTokenizer } = rushlight
const tokenizer = await AutoTokenizer.from_pretrained(models.smollm2)
const model = await AutoModelForCausalLM.from_pretrained(models.smollm2)
const article = `The town of Brannfoss lies where two rivers meet, forty kilometres from the coast. Until 1911 it had no railway, and all timber went
down the river in spring. In that year the Brannfoss line was opened, and within ten years the town had three sawmills, a paper factory and four thousand
people. The paper factory closed in 1987. Since then most people have worked in the hospital, in the school, or in one of the small firms that build boats.`
const { input_ids } = tokenizer.apply_chat_template(
  [{ role: 'user', content: `Repeat the following text word for word, and add nothing.\n\n${article}` }],
  { add_generation_prompt: true },
)
const new_tokens = 100

async function run(options) {
  let first = 0
  let last = 0
  const streamer = {
    put() {
      last = performance.now()
      first ||= last
    },
    end() {},
  }
  first = 0
  let seen = 0
  const counting = { put: (ids) => (seen++ === 1 && (first = performance.now()), streamer.put(ids)), end() {} }
  const out = await model.generate({
    input_ids: [input_ids],
    max_new_tokens: new_tokens,
    do_sample: false,
    eos_token_id: null,
    streamer: counting,
    ...options,
  })
  const text = tokenizer.decode(out.tolist()[0])
  out.dispose()
  return { text, milliseconds: last - first }
}

const plain = { best: Number.POSITIVE_INFINITY }
const lookup = { best: Number.POSITIVE_INFINITY, options: { prompt_lookup_num_tokens: 10, max_matching_ngram_size: 3 } }
const until = performance.now() + 2000 * seconds
for (let runs = 0; runs < 2 || performance.now() < until; runs++)
  for (const each of [plain, lookup]) {
    const { text, milliseconds } = await run(each.options)
    each.best = Math.min(each.best, milliseconds)
    each.text = text
  }
if (plain.text !== lookup.text) throw new Error('prompt lookup changed the text')
report({ who, work: 'greedy', threads, value: (new_tokens / plain.best) * 1000, unit: 'tok/s' })
report({ who, work: 'greedy, prompt lookup', threads, value: (new_tokens / lookup.best) * 1000, unit: 'tok/s' })
