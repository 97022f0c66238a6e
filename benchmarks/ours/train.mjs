// One training step of a small Llama.      node benchmarks/ours/train.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { best, report } from '../measure.mjs'
import { rushlight, seconds, threads, who } from './setup.mjs'

const { AdamW, AutoModelForCausalLM, LlamaConfig, manual_seed, randint, tidy } = rushlight
manual_seed(0)
const config = new LlamaConfig({
  vocab_size: 4096,
  hidden_size: 256,
  intermediate_size: 688,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  max_position_embeddings: 128,
})
const model = (await AutoModelForCausalLM.from_config(config)).train()
const optimizer = new AdamW(model.parameters(), { lr: 1e-4 })
const input_ids = randint(0, 4096, [16, 128])

const step = () =>
  tidy(() => {
    optimizer.zero_grad()
    model({ input_ids, labels: input_ids }).loss.backward()
    optimizer.step()
  })
report({ who, work: 'training step', threads, value: await best(step, seconds), unit: 'ms' })
