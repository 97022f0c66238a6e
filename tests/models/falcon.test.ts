// Falcon beyond its golden files: which combinations of its options there are, and what the config derives.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { alibiSlopes } from '../../src/models/attention.ts'
import { FalconConfig, FalconForCausalLM, FalconModel } from '../../src/models/index.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { heapUsage } from '../../src/wasm/index.ts'

const tiny = { vocab_size: 9, hidden_size: 8, num_attention_heads: 4, num_hidden_layers: 1 }

test('what the config derives', () => {
  const config = new FalconConfig({ ...tiny, n_embed: 12 })
  assert.is(config.hidden_size, 12)
  assert.is(config.ffn_hidden_size, 48)
  assert.is(config.num_kv_heads, 4)
})

test('norms and matrices of each kind', () => {
  const names = (options: object) =>
    [...new FalconModel({ ...tiny, ...options }).state_dict()].flatMap(([name, { shape }]) =>
      /ln_(attn|mlp).*weight|layernorm.*weight|query_key_value/.test(name) ? [`${name.slice(4)} ${shape}`] : [],
    )
  const fused = 'self_attention.query_key_value.weight'
  assert.equal(names({}), [`${fused} 12,8`, 'input_layernorm.weight 8'])
  assert.equal(names({ multi_query: false, parallel_attn: false }), [
    `${fused} 24,8`,
    'input_layernorm.weight 8',
    'post_attention_layernorm.weight 8',
  ])
  assert.equal(names({ new_decoder_architecture: true, num_kv_heads: 2 }), [
    `${fused} 16,8`,
    'ln_attn.weight 8',
    'ln_mlp.weight 8',
  ])
  assert.equal(names({ new_decoder_architecture: true, num_kv_heads: 2, num_ln_in_parallel_attn: 1 }), [
    `${fused} 16,8`,
    'input_layernorm.weight 8',
  ])
})

test('combinations that there are not', () => {
  const refused = (options: object, message: RegExp) =>
    assert.throws(() => new FalconConfig({ ...tiny, ...options }), message)
  refused(
    { new_decoder_architecture: true, parallel_attn: false },
    /parallel_attn with new_decoder_architecture: false/,
  )
  refused({ num_ln_in_parallel_attn: 2 }, /num_ln_in_parallel_attn: 2 is not supported. Supported: 1/)
  refused({ hidden_size: 9 }, /hidden_size 9 is not a multiple of num_attention_heads 4/)
})

test('ALiBi step by step gives what the fused attention gives', async () => {
  const used = heapUsage().used
  const path = 'tests/golden/models/falcon-alibi'
  const [fused, stepwise] = await Promise.all([
    FalconForCausalLM.from_pretrained(path),
    FalconForCausalLM.from_pretrained(path, { attn_implementation: 'eager' }),
  ])
  const inputs = { input_ids: [[0, 0, 5, 9, 31, 7]], attention_mask: [[0, 0, 1, 1, 1, 1]] }
  tidy(() => {
    const { logits, attentions } = stepwise({ ...inputs, output_attentions: true })
    const error = logits.sub(fused(inputs).logits).slice(1, 2).abs().max().item()
    assert.ok(error < 1e-4, `${error}`)
    assert.equal(
      attentions?.map((a) => a.shape),
      [
        [1, 12, 6, 6],
        [1, 12, 6, 6],
      ],
    )
  })
  fused.dispose()
  stepwise.dispose()
  assert.is(heapUsage().used, used)
})

test("ALiBi's slopes, of powers of two and others", () => {
  const near = (actual: number[], expected: number[]) =>
    assert.ok(
      actual.length === expected.length && actual.every((x, i) => Math.abs(x - expected[i]) < 1e-6 * expected[i]),
    )
  near(alibiSlopes(4), [1 / 4, 1 / 16, 1 / 64, 1 / 256])
  near(alibiSlopes(6), [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8])
  near(alibiSlopes(1), [1 / 256])
})

test.run()
