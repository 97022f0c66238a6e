// The most that the heap holds while real repositories of about 100 MB are loaded, beside their weights and 64 MiB.
//   node benchmarks/ours/load-heap.mjs
import { models, report } from '../measure.mjs'
import { rushlight, who } from './setup.mjs'

const { AutoModel, AutoModelForCausalLM, memory } = rushlight
for (const [name, type] of [
  ['minilm', AutoModel],
  ['smollm2', AutoModelForCausalLM],
]) {
  const model = await type.from_pretrained(models[name])
  const { peak, used } = memory()
  const figure = { work: `heap while loading ${name}`, threads: 1, unit: 'MB' }
  report({ who, value: peak / 1e6, ...figure })
  report({ who: 'weights and 64 MiB', value: (used + 2 ** 26) / 1e6, ...figure })
  model.dispose()
}
