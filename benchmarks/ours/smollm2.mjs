// SmolLM2 from its 4-bit file: prompt processing and greedy decoding.
//   node benchmarks/ours/smollm2.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { best, DECODE, models, PREFILL, prompt, report } from '../measure.mjs'
import { decodeRate, rushlight, seconds, threads, who } from './setup.mjs'

const { AutoModelForCausalLM } = rushlight
const model = await AutoModelForCausalLM.from_pretrained(models.smollm2)
const input_ids = [await prompt(PREFILL)]

const prefill = await best(() => model.generate({ input_ids, max_new_tokens: 1, eos_token_id: null }), seconds)
report({ who, work: 'prefill', threads, value: (PREFILL / prefill) * 1000, unit: 'tok/s' })

report({ who, work: 'decode', threads, value: await decodeRate(model, input_ids, DECODE, seconds), unit: 'tok/s' })
