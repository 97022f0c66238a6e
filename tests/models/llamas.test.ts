// Llama's relatives: what their configs derive and refuse, and what models with experts hand out.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  LlamaForCausalLM,
  MistralConfig,
  MistralModel,
  OlmoeForCausalLM,
  Phi3ForCausalLM,
  type PreTrainedModel,
  Qwen2Config,
  Qwen2ForCausalLM,
  Qwen2MoeConfig,
  Qwen2MoeForCausalLM,
  SmolLM3Config,
} from '../../src/models/index.ts'
import { save_file } from '../../src/io/tensors.ts'
import { windowOf } from '../../src/models/llama.ts'
import { loadBalancingLoss } from '../../src/models/moe.ts'
import { tensor } from '../../src/ops/creation.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { heapUsage } from '../../src/wasm/index.ts'

const small = {
  vocab_size: 13,
  hidden_size: 8,
  intermediate_size: 6,
  num_hidden_layers: 4,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  pad_token_id: null,
}

test('types of layers are derived where the config does not say them', () => {
  const [full, window] = ['full_attention', 'sliding_attention']
  const windows = { ...small, use_sliding_window: true, sliding_window: 3 }
  assert.equal(new Qwen2Config(small).layer_types, [full, full, full, full])
  assert.is(new Qwen2Config(small).sliding_window, null)
  assert.equal(new Qwen2Config({ ...windows, max_window_layers: 3 }).layer_types, [full, full, full, window])
  assert.equal(new Qwen2MoeConfig({ ...windows, max_window_layers: 3 }).layer_types, [window, full, window, full])
  const smol = new SmolLM3Config({ ...windows, no_rope_layer_interval: 3 })
  assert.equal(smol.no_rope_layers, [1, 1, 0, 1])
  assert.equal(smol.layer_types, [full, full, window, full])
  assert.equal(new SmolLM3Config({ ...small, layer_types: [full, window, full, full] }).layer_types, [
    full,
    window,
    full,
    full,
  ])
})

test('types of layers that mean nothing here are refused', () => {
  const given = (layer_types: string[], more = {}) => new Qwen2Config({ ...small, layer_types, ...more })
  const types = ['full_attention', 'chunked_attention', 'sliding_attention', 'full_attention']
  assert.is(windowOf(given(types), 0), null)
  assert.throws(() => windowOf(given(types), 1), /layer_types\[1\]: "chunked_attention" is not supported/)
  assert.throws(() => windowOf(given(['full_attention']), 1), /layer_types: expected one for each layer, found 1/)
  assert.throws(
    () => new SmolLM3Config({ ...small, no_rope_layers: [1, 0] }),
    /no_rope_layers: expected a number for each of 4/,
  )
  assert.throws(() => windowOf(given(types), 2), /sliding_window must be a whole number from 1 up, found null/)
  assert.is(windowOf(given(types, { use_sliding_window: true, sliding_window: 7 }), 2), 7)
  assert.throws(
    () => new MistralConfig({ ...small, layer_types: types }),
    /config of mistral: layer_types: .* Supported: "sliding_attention in each layer"/,
  )
})

test('numbers that may be null are taken as such, others are not', () => {
  assert.is(new MistralConfig({ ...small, sliding_window: null }).sliding_window, null)
  assert.is(new MistralModel({ ...small, num_key_value_heads: null }).config.num_key_value_heads, null)
  assert.throws(() => new MistralConfig({ ...small, hidden_size: null }), /hidden_size: expected a whole number/)
})

test('a cache holds across the length where the frequencies of longrope change, but for Phi-3', () => {
  const factors = { short_factor: [1, 1], long_factor: [2, 3] }
  const config = { ...small, original_max_position_embeddings: 9 }
  const rope_scaling = { type: 'longrope', ...factors }
  const keeps = (model: Pick<PreTrainedModel, 'keepsCache'>) => [[4, 9], [9, 10], [10, 11]].map(([a, b]) => model.keepsCache(a, b)) // biome-ignore format: pairs
  assert.equal(keeps(new Phi3ForCausalLM({ ...config, rope_scaling })), [true, false, true])
  assert.equal(keeps(new Phi3ForCausalLM(config)), [true, true, true])
  assert.equal(keeps(new LlamaForCausalLM({ ...config, rope_scaling })), [true, true, true])
})

test('router logits and the balancing loss come when asked for, cached tokens and padding aside', () => {
  const used = heapUsage().used
  const model = new OlmoeForCausalLM({ ...small, num_experts: 5, num_experts_per_tok: 2 }).eval()
  tidy(() => {
    const input_ids = [[1, 2, 3, 4], [0, 0, 5, 6]] // biome-ignore format: rows
    const attention_mask = [[1, 1, 1, 1], [0, 0, 1, 1]] // biome-ignore format: rows
    const quiet = model({ input_ids, attention_mask })
    assert.is(quiet.router_logits, undefined)
    assert.is(quiet.aux_loss, undefined)
    const { router_logits = [], aux_loss, logits } = model({ input_ids, attention_mask, output_router_logits: true })
    assert.equal(
      router_logits.map((r) => r.shape),
      new Array(4).fill([8, 5]),
    )
    assert.equal(logits.tolist(), quiet.logits.tolist())
    // Without padding, the same from the rows that count.
    const rows = tensor([0, 1, 2, 3, 6, 7], { dtype: 'int64' })
    const seen = loadBalancingLoss(
      router_logits.map((r) => r.index_select(0, rows)),
      2,
      null,
    )
    assert.ok(Math.abs((aux_loss?.item() ?? 0) - seen.item()) < 1e-6)

    const { past_key_values } = model({ input_ids, attention_mask, use_cache: true })
    const next = model({
      input_ids: [[7], [8]],
      attention_mask: attention_mask.map((row) => [...row, 1]),
      past_key_values,
      output_router_logits: true,
    })
    assert.equal(
      next.router_logits?.map((r) => r.shape),
      new Array(4).fill([2, 5]),
    )
    assert.ok(Number.isFinite(next.aux_loss?.item()))
    past_key_values?.dispose()
  })
  model.dispose()
  assert.is(heapUsage().used, used)
})

test('experts that all work alike have a balancing loss of as many as a token has', () => {
  tidy(() => {
    const even = tensor([[9, 9, 0, 0], [0, 0, 9, 9]]) // biome-ignore format: rows
    assert.ok(Math.abs(loadBalancingLoss([even, even], 2, null).item() - 2) < 1e-3)
    const uneven = tensor([[9, 9, 0, 0], [9, 9, 0, 0]]) // biome-ignore format: rows
    assert.ok(loadBalancingLoss([uneven], 2, null).item() > 3.9)
  })
})

test('an expert without tokens has a gradient of zero', () => {
  const used = heapUsage().used
  const model = new Qwen2MoeForCausalLM({
    ...small,
    num_hidden_layers: 1,
    num_experts: 6,
    num_experts_per_tok: 1,
    moe_intermediate_size: 3,
    shared_expert_intermediate_size: 3,
  })
  const input_ids = [[1, 2]]
  tidy(() => {
    model({ input_ids, labels: input_ids }).loss?.backward()
  })
  const weights = new Map(model.named_parameters())
  const zero = (n: number) =>
    weights.get(`model.layers.0.mlp.experts.${n}.up_proj.weight`)?.grad?.abs().sum().item() === 0
  const idle = [0, 1, 2, 3, 4, 5].filter((n) => tidy(() => zero(n)))
  assert.ok(idle.length === 4 || idle.length === 5, `${idle}`) // of 6 experts, 2 tokens reach one or two
  model.dispose()
  assert.is(heapUsage().used, used)
})

test('routers stay as they are where weights are rounded to blocks; buffers of old checkpoints are passed over', async () => {
  const used = heapUsage().used
  const config = { ...small, hidden_size: 32, intermediate_size: 32, num_experts: 32, num_experts_per_tok: 2 }
  const folder = mkdtempSync(join(tmpdir(), 'rushlight-llamas-'))
  const model = new OlmoeForCausalLM(config)
  await model.save_pretrained(folder)
  const stored = Object.fromEntries([...model.state_dict()].map(([name, t]) => [name, t]))
  const inv_freq = tensor([1, 0.1])
  await save_file(
    { ...stored, 'model.layers.0.self_attn.rotary_emb.inv_freq': inv_freq },
    `${folder}/model.safetensors`,
  )
  inv_freq.dispose()
  model.dispose()
  const [rounded, info] = await OlmoeForCausalLM.from_pretrained(folder, {
    dtype: 'q8',
    output_loading_info: true,
  })
  assert.equal(info.unexpected_keys, [])
  const kinds = new Map([...rounded.named_modules()].map(([path, module]) => [path, module.constructor.name]))
  assert.is(kinds.get('model.layers.0.mlp.gate'), 'Router')
  assert.match(`${kinds.get('model.layers.0.mlp.experts.3.up_proj')}`, /QuantizedLinear/)
  rounded.dispose()
  rmSync(folder, { recursive: true })
  assert.is(heapUsage().used, used)
})

test('what a model has not is refused', () => {
  const model = new Qwen2ForCausalLM(small)
  assert.throws(
    () => model({ input_ids: [1], output_router_logits: true }),
    /Qwen2Model: unsupported input output_router_logits/,
  )
  assert.throws(
    () => new OlmoeForCausalLM({ ...small, num_experts: 2, num_experts_per_tok: 3 }),
    /num_experts_per_tok 3 is more than num_experts 2/,
  )
  model.dispose()
})

test.run()
