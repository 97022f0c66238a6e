// Layers that carry a state in place of keys and values: text in pieces is text as a whole; what the cache can and cannot undo.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  DynamicCache,
  Lfm2Config,
  Lfm2ForCausalLM,
  Lfm2Model,
  MambaConfig,
  MambaForCausalLM,
  MambaModel,
} from '../../src/models/index.ts'
import type { DecoderForCausalLM } from '../../src/models/decoder.ts'
import { cat } from '../../src/ops/movement.ts'
import { tidy } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'

const root = 'tests/golden/models'
const ids = [[5, 9, 3, 40, 17, 22, 8, 31, 2, 50]]
const load: Record<string, (dtype?: string) => Promise<DecoderForCausalLM>> = {
  lfm2: (dtype = 'auto') => Lfm2ForCausalLM.from_pretrained(`${root}/lfm2`, { dtype }),
  'lfm2-long': (dtype = 'auto') => Lfm2ForCausalLM.from_pretrained(`${root}/lfm2-long`, { dtype }),
  mamba: (dtype = 'auto') => MambaForCausalLM.from_pretrained(`${root}/mamba`, { dtype }),
}

for (const [name, make] of Object.entries(load)) {
  for (const pieces of [
    [4, 1, 1, 4],
    [1, 2, 7],
  ])
    test(`${name}: in pieces of ${pieces.join(', ')} tokens as at once`, async () => {
      const used = heapUsage().used
      const model = await make()
      const cache = new DynamicCache()
      tidy(() => {
        const whole = model({ input_ids: ids }).logits
        let at = 0
        const parts = pieces.map((n) => {
          const input_ids = [ids[0].slice(at, at + n)]
          at += n
          const { logits } = model({ input_ids, past_key_values: cache })
          assert.is(cache.get_seq_length(), at)
          return logits
        })
        assert.ok(cat(parts, 1).sub(whole).abs().max().item() < 1e-4 * whole.abs().max().item())
      })
      cache.dispose()
      model.dispose()
      assert.is(heapUsage().used, used)
    })

  test(`${name}: a cache goes back to nothing, and no less far`, async () => {
    const used = heapUsage().used
    const model = await make()
    const cache = new DynamicCache()
    tidy(() => {
      const first = model({ input_ids: ids, past_key_values: cache }).logits
      assert.throws(() => cache.crop(4), /stand after 10 tokens and cannot go back to 4/)
      cache.crop(10)
      assert.is(cache.get_seq_length(), 10)
      cache.crop(0)
      assert.is(cache.get_seq_length(), 0)
      const again = model({ input_ids: ids, past_key_values: cache }).logits
      assert.is(first.sub(again).abs().max().item(), 0)
    })
    cache.dispose()
    model.dispose()
    assert.is(heapUsage().used, used)
  })

  test(`${name}: weights in bfloat16`, async () => {
    const used = heapUsage().used
    const [wide, narrow] = [await make(), await make('bfloat16')]
    assert.is(narrow.dtype, 'bfloat16')
    tidy(() => {
      const expected = wide({ input_ids: ids }).logits
      const error = narrow({ input_ids: ids }).logits.to('float32').sub(expected).abs().mean().item()
      assert.ok(error < 0.05 * expected.abs().mean().item(), `${error}`)
    })
    wide.dispose()
    narrow.dispose()
    assert.is(heapUsage().used, used)
  })
}

test("LFM2's config: types of layers, and the width of the MLP", () => {
  const config = (options: object) => new Lfm2Config({ num_hidden_layers: 3, ...options })
  assert.equal(config({}).layer_types, ['full_attention', 'full_attention', 'full_attention'])
  assert.equal(config({ full_attn_idxs: [1] }).layer_types, ['conv', 'full_attention', 'conv'])
  assert.throws(() => config({ layer_types: ['conv', 'mamba', 'conv'] }), /layer_types\[1\]: "mamba" is not supported/)
  assert.throws(() => config({ layer_types: ['conv'] }), /layer_types\[1\]/)
  const width = (options: object) =>
    new Lfm2Model({ vocab_size: 4, hidden_size: 16, num_attention_heads: 8, num_hidden_layers: 1, ...options })
      .get_submodule('layers.0.feed_forward.w1')
      .parameters()
      .next().value?.shape[0]
  assert.is(width({ block_ff_dim: 12288 }), 8192)
  assert.is(width({ intermediate_size: 100, block_multiple_of: 10, block_ffn_dim_multiplier: 1.3 }), 90)
  assert.is(width({ intermediate_size: 100, block_auto_adjust_ff_dim: false }), 100)
})

test("Mamba's config, its token embeddings, and what it does not take", () => {
  const config = new MambaConfig({ hidden_size: 40, intermediate_size: 7 })
  assert.is(config.intermediate_size, 80)
  assert.is(config.time_step_rank, 3)
  assert.is(new MambaConfig({ time_step_rank: 5 }).time_step_rank, 5)
  const model = new MambaModel({ vocab_size: 9, hidden_size: 8, num_hidden_layers: 1 })
  assert.is(model.get_input_embeddings(), model.embeddings)
  assert.throws(() => model({ input_ids: [[1]], output_attentions: true }), /unsupported input output_attentions/)
  model.dispose()
})

test("Mamba's initial values", () => {
  const used = heapUsage().used
  const make = (options: object) =>
    new MambaForCausalLM({ vocab_size: 9, hidden_size: 64, num_hidden_layers: 4, state_size: 3, ...options })
  const model = make({})
  tidy(() => {
    const [{ mixer }] = model.backbone.layers
    const exp = (mixer.A_log.exp().tolist() as number[][]).map((row) => row.map((x) => Math.round(1e4 * x) / 1e4))
    assert.equal(exp[5], [1, 2, 3])
    assert.is(mixer.D.sub(1).abs().max().item(), 0)
    const steps = mixer.dt_proj.bias?.exp().add(1).log() // softplus
    const [least, most] = [steps?.min().item() as number, steps?.max().item() as number]
    assert.ok(least > 0.00099 && least < 0.003 && most > 0.03 && most < 0.101, `${least} to ${most}`)
    const largest = (t: Tensor) => t.abs().max().item()
    const near = (x: number, bound: number) => assert.ok(x <= bound && x > 0.9 * bound, `${x}, bound ${bound}`)
    near(largest(mixer.dt_proj.weight), 0.5) // 4 ** -0.5
    near(largest(mixer.conv1d.weight), 0.5)
    near(largest(mixer.out_proj.weight), 128 ** -0.5)
    const shrunk = make({ rescale_prenorm_residual: true, time_step_init_scheme: 'constant' })
    const [{ mixer: other }] = shrunk.backbone.layers
    const { out_proj, dt_proj } = other
    near(largest(out_proj.weight), 128 ** -0.5 / 2)
    assert.is(dt_proj.weight.sub(0.5).abs().max().item(), 0)
    shrunk.dispose()
  })
  model.dispose()
  assert.throws(() => make({ time_step_init_scheme: 'odd' }), /time_step_init_scheme: "odd" is not supported/)
  assert.is(heapUsage().used, used)
})

test.run()
