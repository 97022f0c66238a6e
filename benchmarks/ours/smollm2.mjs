// SmolLM2 from its 4-bit file: prompt processing and greedy decoding.
//   node benchmarks/ours/smollm2.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { best, DECODE, models, PREFILL, prompt, report } from '../measure.mjs'
import { rushlight, seconds, threads, who } from './setup.mjs'

const { AutoModelForCausalLM } = rushlight
const model = await AutoModelForCausalLM.from_pretrained(models.smollm2)
const input_ids = [await prompt(PREFILL)]

const prefill = await best(() => model.generate({ input_ids, max_new_tokens: 1, eos_token_id: null }), seconds)
report({ who, work: 'prefill', threads, value: (PREFILL / prefill) * 1000, unit: 'tok/s' })

let fastest = Infinity
const until = performance.now() + seconds * 1000
for (let runs = 0; runs < 3 || performance.now() < until; runs++) {
  const times = []
  const streamer = { put: () => times.push(performance.now()), end() {} } // the prompt, then each new token
  await model.generate({ input_ids, max_new_tokens: DECODE + 1, eos_token_id: null, streamer })
  if (times.length !== DECODE + 2) throw new Error(`expected ${DECODE + 1} new tokens, found ${times.length - 1}`)
  fastest = Math.min(fastest, times.at(-1) - times[1])
}
report({ who, work: 'decode', threads, value: (DECODE / fastest) * 1000, unit: 'tok/s' })
