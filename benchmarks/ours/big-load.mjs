// A decoder of Llama 3.2 1B's shape with random bfloat16 weights, 2.5 GB in shards: loads, generates, is disposed. Reports the
// process' peak memory (its resident set) beside the weights' size, and greedy decoding.
//   node benchmarks/ours/big-load.mjs [--threads N] [--build relaxed|simd]
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { numbers, report } from '../measure.mjs'
import { rushlight, threads, who } from './setup.mjs'

const config = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  dtype: 'bfloat16',
  vocab_size: 128256,
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  tie_word_embeddings: true,
}
const { hidden_size: H, intermediate_size: I, vocab_size: V } = config
const KV = config.num_key_value_heads * config.head_dim

/** Names and shapes of the weights, a shard for the embedding and one for every four layers. */
function shards() {
  const layer = (i) => ({
    [`model.layers.${i}.input_layernorm.weight`]: [H],
    [`model.layers.${i}.post_attention_layernorm.weight`]: [H],
    [`model.layers.${i}.self_attn.q_proj.weight`]: [H, H],
    [`model.layers.${i}.self_attn.k_proj.weight`]: [KV, H],
    [`model.layers.${i}.self_attn.v_proj.weight`]: [KV, H],
    [`model.layers.${i}.self_attn.o_proj.weight`]: [H, H],
    [`model.layers.${i}.mlp.gate_proj.weight`]: [I, H],
    [`model.layers.${i}.mlp.up_proj.weight`]: [I, H],
    [`model.layers.${i}.mlp.down_proj.weight`]: [H, I],
  })
  const layers = Array.from({ length: config.num_hidden_layers / 4 }, (_, s) =>
    Object.assign({}, ...[0, 1, 2, 3].map((i) => layer(4 * s + i))),
  )
  return [{ 'model.embed_tokens.weight': [V, H], 'model.norm.weight': [H] }, ...layers]
}

/** Writes the repository; gives the bytes of its weights. */
async function write(folder) {
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  const piece = Uint16Array.from(new Uint32Array(numbers(1 << 20).map((x) => x * 0.04).buffer), (bits) => bits >>> 16)
  const bytes = new Uint8Array(piece.buffer)
  const all = shards()
  const weight_map = {}
  let total = 0
  for (const [s, shapes] of all.entries()) {
    const name = `model-${String(s + 1).padStart(5, '0')}-of-${String(all.length).padStart(5, '0')}.safetensors`
    const header = {}
    let end = 0
    for (const [weight, shape] of Object.entries(shapes)) {
      const start = end
      end += 2 * shape.reduce((a, b) => a * b)
      header[weight] = { dtype: 'BF16', shape, data_offsets: [start, end] }
      weight_map[weight] = name
    }
    const text = new TextEncoder().encode(JSON.stringify(header))
    const length = new Uint8Array(8)
    new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true)
    const file = await open(join(folder, name), 'w')
    await file.writev([length, text])
    for (let left = end; left > 0; left -= bytes.length) await file.write(bytes, 0, Math.min(left, bytes.length))
    await file.close()
    total += end
  }
  const index = { metadata: { total_size: total }, weight_map }
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify(index))
  return total
}

const { AutoModelForCausalLM, memory } = rushlight
const folder = await mkdtemp(join(tmpdir(), 'rushlight-big-load-'))
try {
  const weights = await write(folder)
  const start = performance.now()
  const model = await AutoModelForCausalLM.from_pretrained(folder, { dtype: 'auto' })
  report({ who, work: 'big load', threads, value: weights / (performance.now() - start) / 1e6, unit: 'GB/s' })
  const times = []
  const streamer = { put: () => times.push(performance.now()), end() {} }
  const output = await model.generate({ input_ids: [[1, 2, 3, 4]], max_new_tokens: 8, eos_token_id: null, streamer })
  if (output.shape[1] !== 12) throw new Error(`expected 12 tokens, found ${output.shape[1]}`)
  report({ who, work: 'big decode', threads, value: 7000 / (times.at(-1) - times[1]), unit: 'tok/s' })
  output.dispose()
  model.dispose()
  if (memory().used !== 0) throw new Error(`${memory().used} bytes are left after disposing`)
  const peak = process.resourceUsage().maxRSS * 1024
  report({ who, work: 'big load, peak memory', threads, value: peak / 1e6, unit: 'MB' })
  report({ who: 'weights', work: 'big load, peak memory', threads, value: weights / 1e6, unit: 'MB' })
} finally {
  await rm(folder, { recursive: true })
}
