// SmolLM2's greedy decoding behind a long and a short prompt: attention over the cache.
//   node benchmarks/ours/long-context.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { models, prompt, report } from '../measure.mjs'
import { decodeRate, rushlight, seconds, threads, who } from './setup.mjs'

const model = await rushlight.AutoModelForCausalLM.from_pretrained(models.smollm2)
const passage = await prompt(500)
const work = 'decode at 4,000 tokens'
for (const [name, length] of [
  ['itself, at 100', 100],
  [who, 4000],
]) {
  const input_ids = [Array.from({ length }, (_, i) => passage[i % passage.length])]
  report({ who: name, work, threads, value: await decodeRate(model, input_ids, 32, seconds), unit: 'tok/s' })
}
