// From before the import to the first token of SmolLM2's GGUF file, tokenizer included, in a process that has done nothing else.
//   node benchmarks/ours/cold-load.mjs [--threads N]
import { COLD_PROMPT, models, options, report } from '../measure.mjs'

const { threads } = options()
const start = performance.now()
const { AutoModelForCausalLM, AutoTokenizer, init } = await import('../../dist/index.js')
await init({ threads })
const tokenizer = await AutoTokenizer.from_pretrained(models.smollm2)
const model = await AutoModelForCausalLM.from_pretrained(models.smollm2)
const output = await model.generate({ ...tokenizer(COLD_PROMPT), max_new_tokens: 1 })
tokenizer.batch_decode(output)
report({ who: 'rushlight', work: 'cold load', threads, value: performance.now() - start, unit: 'ms' })
