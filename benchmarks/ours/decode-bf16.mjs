// Greedy decoding of a decoder whose weights do not fit the caches (SmolLM2's shape, random ones), in bfloat16 and in float32.
//   node benchmarks/ours/decode-bf16.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { report } from '../measure.mjs'
import { decodeRate, rushlight, seconds, threads, who } from './setup.mjs'

const { AutoModelForCausalLM, LlamaConfig, manual_seed } = rushlight
manual_seed(0)
const config = new LlamaConfig({
  vocab_size: 49152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  tie_word_embeddings: true,
})
const model = await AutoModelForCausalLM.from_config(config)
const input_ids = [[1, 2, 3, 4, 5, 6, 7, 8]]
for (const dtype of ['float32', 'bfloat16']) {
  model.to(dtype)
  const value = await decodeRate(model, input_ids, 32, seconds)
  report({
    who: dtype === 'float32' ? 'itself, float32' : who,
    work: 'decode, bfloat16',
    threads,
    value,
    unit: 'tok/s',
  })
}
