// Gemma beyond its golden files: what is rounded, refused and derived, and the language model of a repository with images.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { load_file, save_file } from '../../src/io/tensors.ts'
import {
  AutoModel,
  AutoModelForCausalLM,
  Gemma2Config,
  Gemma3ForCausalLM,
  Gemma3TextConfig,
  Gemma3TextModel,
  GemmaConfig,
  GemmaModel,
} from '../../src/models/index.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { zeros } from '../../src/ops/creation.ts'
import { heapUsage } from '../../src/wasm/index.ts'

const root = 'tests/golden/models'
const folder = mkdtempSync(join(tmpdir(), 'rushlight-gemma-'))

test('embeddings are scaled by √H, rounded to the dtype of the table', async () => {
  const used = heapUsage().used
  for (const [dtype, scale] of [
    ['float32', Math.fround(Math.sqrt(24))],
    ['bfloat16', 4.90625],
  ] as const) {
    const model = await GemmaModel.from_pretrained(`${root}/gemma`, { dtype })
    tidy(() => {
      const [first] = model({ input_ids: [[7]], output_hidden_states: true }).hidden_states ?? []
      const row = model.embed_tokens.weight.select(0, 7).to('float32')
      assert.ok(first.view([24]).div(row).sub(scale).abs().max().item() < 1e-6, dtype)
    })
    model.dispose()
  }
  assert.is(heapUsage().used, used)
})

test('types of layers, when the config does not say', () => {
  const [w, f] = ['sliding_attention', 'full_attention']
  assert.equal(new Gemma2Config({ num_hidden_layers: 3 }).layer_types, [w, f, w])
  assert.equal(new Gemma3TextConfig({ num_hidden_layers: 7 }).layer_types, [w, w, w, w, w, f, w])
  assert.equal(new Gemma3TextConfig({ num_hidden_layers: 3, sliding_window_pattern: 2 }).layer_types, [w, f, w])
})

test('what would change the computation, and is not there, is refused', () => {
  for (const Config of [GemmaConfig, Gemma2Config, Gemma3TextConfig])
    assert.throws(
      () => new Config({ use_bidirectional_attention: true }),
      /use_bidirectional_attention.*Supported: false/,
    )
  assert.throws(
    () => new Gemma3TextConfig({ attn_logit_softcapping: 50 }),
    /attn_logit_softcapping: 50 is not supported/,
  )
})

test('whole numbers keep their point where Python asks for one', () => {
  const text = new Gemma2Config({
    attn_logit_softcapping: 50,
    final_logit_softcapping: null,
    sliding_window: 8,
  }).to_json_string()
  assert.match(text, '"attn_logit_softcapping": 50.0,\n')
  assert.match(text, '"final_logit_softcapping": null,\n')
  assert.match(text, '"sliding_window": 8\n')
  assert.is(JSON.parse(text).attn_logit_softcapping, 50)
})

test('of a repository with images, the language model is taken', async () => {
  const used = heapUsage().used
  const config = JSON.parse(readFileSync(`${root}/gemma3/config.json`, 'utf8'))
  const weights = await load_file(`${root}/gemma3/model.safetensors`)
  const golden = await load_file(`${root}/gemma3/golden.safetensors`)
  const { batches } = JSON.parse(readFileSync(`${root}/gemma3/golden.json`, 'utf8'))
  const { input_ids } = batches.plain
  const image = zeros([2, 3])
  for (const [spelling, text, vision] of [
    ['now', 'model.language_model.', 'model.vision_tower.'],
    ['then', 'language_model.model.', 'vision_tower.'],
  ]) {
    const path = join(folder, spelling)
    mkdirSync(path)
    const outer = { model_type: 'gemma3', text_config: config, vision_config: { hidden_size: 2 }, eos_token_id: [1, 9] }
    writeFileSync(join(path, 'config.json'), JSON.stringify(outer))
    const named = Object.entries(weights).map(([name, t]) => [name.replace(/^model\./, text), t])
    await save_file(Object.fromEntries([...named, [`${vision}patch.weight`, image]]), join(path, 'model.safetensors'))

    const model = (await AutoModelForCausalLM.from_pretrained(path)) as Gemma3ForCausalLM
    assert.instance(model, Gemma3ForCausalLM)
    assert.is(model.config.model_type, 'gemma3_text')
    assert.equal(model.config.eos_token_id, [1, 9])
    tidy(() => {
      const error = model({ input_ids }).logits.sub(golden['plain.logits']).abs().max().item()
      assert.ok(error < 1e-4, `${spelling}: ${error}`)
    })
    model.dispose()

    const base = await AutoModel.from_pretrained(path)
    assert.instance(base, Gemma3TextModel)
    base.dispose()
  }
  for (const t of [...Object.values(weights), ...Object.values(golden), image]) t.dispose()
  assert.is(heapUsage().used, used)
})

test.after(() => rmSync(folder, { recursive: true }))

test.run()
