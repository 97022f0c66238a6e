// all-MiniLM-L6-v2 in f32 on full batches.      node benchmarks/ours/minilm.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { best, MINILM_SHAPES, models, report } from '../measure.mjs'
import { rushlight, seconds, threads, who } from './setup.mjs'

const { AutoModel, tensor, tidy } = rushlight
const model = await AutoModel.from_pretrained(models.minilm)
for (const shape of MINILM_SHAPES) {
  const size = shape[0] * shape[1]
  const integers = (fill) => tensor(BigInt64Array.from({ length: size }, fill), { shape })
  const inputs = {
    input_ids: integers((_, i) => BigInt(1000 + ((i * 37) % 20000))),
    attention_mask: integers(() => 1n),
    token_type_ids: integers(() => 0n),
  }
  const run = () => tidy(() => void model(inputs))
  report({ who, work: `minilm ${shape.join('x')}`, threads, value: await best(run, seconds), unit: 'ms' })
  for (const input of Object.values(inputs)) input.dispose()
}
