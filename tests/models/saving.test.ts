// save_pretrained: what is written is what was loaded, in the repository's spelling; resized embeddings; classes of one's own.
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/generation/generate.ts'
import { bytesSink } from '../../src/io/index.ts'
import * as models from '../../src/models/index.ts'
import {
  AutoConfig,
  AutoModel,
  AutoModelForCausalLM,
  LlamaConfig,
  LlamaForCausalLM,
  LlamaModel,
} from '../../src/models/index.ts'
import type { ModelClass, PreTrainedModel } from '../../src/models/model.ts'
import type { Embedding, Linear } from '../../src/nn/layers.ts'
import { manual_seed } from '../../src/ops/generator.ts'
import { tidy } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'

const root = 'tests/golden/models'
const folder = mkdtempSync(join(tmpdir(), 'rushlight-saving-'))
const json = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
const bytes = (t: Tensor) => Buffer.from(new Uint8Array(t.data.buffer)).toString('base64')
type Loader = ModelClass & { from_pretrained(path: string, options?: object): Promise<PreTrainedModel> }
const classes = models as unknown as Record<string, Loader>

for (const name of readdirSync(root))
  test(`${name}: saved and loaded again it is the same, to the bit`, async () => {
    const before = heapUsage().used
    const Model = classes[(json(`${root}/${name}/golden.json`) as { class: string }).class]
    const model = await Model.from_pretrained(`${root}/${name}`)
    const target = join(folder, name)
    await model.save_pretrained(target)
    const [again, info] = (await Model.from_pretrained(target, { output_loading_info: true })) as unknown as [
      PreTrainedModel,
      models.LoadingInfo,
    ]
    assert.equal(info, { missing_keys: [], unexpected_keys: [], mismatched_keys: [] })
    const [a, b] = [model.state_dict(), again.state_dict()]
    assert.equal([...b.keys()], [...a.keys()])
    for (const [key, tensor] of a) {
      assert.is(b.get(key)?.dtype, tensor.dtype)
      assert.is(bytes(b.get(key) as Tensor), bytes(tensor), key)
    }
    assert.equal(again.config.to_dict(), model.config.to_dict())
    model.dispose()
    again.dispose()
    assert.is(heapUsage().used, before)
  })

test('config.json keeps its spelling and what nobody here knows', async () => {
  const source = join(folder, 'odd')
  cpSync(`${root}/llama-rope-linear`, source, { recursive: true })
  const given = json(`${source}/config.legacy.json`)
  const odd = { ...given, torch_dtype: 'float32', my_key: { b: [1, null], a: 'x' }, num_labels: 3 }
  writeFileSync(`${source}/config.json`, JSON.stringify(odd))
  const model = await AutoModelForCausalLM.from_pretrained(source)
  await model.save_pretrained(join(folder, 'odd2'))
  const saved = json(join(folder, 'odd2/config.json'))
  const { num_labels: _, ...kept } = odd
  for (const [key, value] of Object.entries(kept)) assert.equal(saved[key], value, key)
  assert.ok(!('rope_parameters' in saved) && !('dtype' in saved))
  assert.equal(saved.id2label, { 0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2' })
  model.dispose()
})

test('weights are cut by max_shard_size', async () => {
  const model = await AutoModelForCausalLM.from_pretrained(`${root}/llama-mha`)
  const target = join(folder, 'shards')
  await model.save_pretrained(target, { max_shard_size: '20KB' })
  const shards = readdirSync(target).filter((file) => file.endsWith('.safetensors'))
  assert.ok(shards.length > 2, shards.join())
  assert.ok(existsSync(`${target}/model.safetensors.index.json`))
  const again = await AutoModelForCausalLM.from_pretrained(target)
  for (const [key, tensor] of model.state_dict())
    assert.is(bytes(again.state_dict().get(key) as Tensor), bytes(tensor), key)
  model.dispose()
  again.dispose()
})

test('without a file system, files go where the caller says', async () => {
  const files = new Map<string, ReturnType<typeof bytesSink>>()
  const model = await AutoModel.from_pretrained(`${root}/llama-base-bf16`)
  await model.save_pretrained((file) => {
    const sink = bytesSink(file)
    files.set(file, sink)
    return sink
  })
  assert.equal([...files.keys()], ['config.json', 'model.safetensors'])
  assert.ok([...files.values()].every((sink) => sink.bytes().length > 100))
  model.dispose()
})

test('what cannot be saved says so, before anything is written', async () => {
  const model = await AutoModelForCausalLM.from_pretrained(`${root}/llama-mha`, { dtype: 'q8' })
  const target = join(folder, 'quantized')
  await refused(model.save_pretrained(target), /quantized \(q8_0\).*Hint/)
  await refused(model.save_pretrained(target, { safe_serialization: false }), /safe_serialization: false.*Supported/)
  await refused(model.save_pretrained(target, { shard: 1 } as object), /unsupported option shard/)
  assert.ok(!existsSync(target))
  model.dispose()
  const plain = await AutoModelForCausalLM.from_pretrained(`${root}/llama-mha`)
  await refused(plain.save_pretrained(''), /expected a directory/)
  plain.dispose()
})

test('resize_token_embeddings: old rows stay, new ones lie about their mean, and a tied head stays tied', async () => {
  const before = heapUsage().used
  manual_seed(3)
  for (const name of ['llama-mha', 'llama-gqa-biases', 'bert-masked-lm']) {
    const Model = classes[(json(`${root}/${name}/golden.json`) as { class: string }).class]
    const model = await Model.from_pretrained(`${root}/${name}`, { dtype: 'float32' })
    const table = model.get_input_embeddings() as Embedding
    const head = model.get_output_embeddings() as Linear
    const tied = head.weight === table.weight
    const old = table.weight.tolist() as number[][]
    const n = old.length
    assert.is(model.resize_token_embeddings(n + 5, { pad_to_multiple_of: 64 }), table)
    const rows = table.weight.tolist() as number[][]
    assert.is(rows.length, Math.ceil((n + 5) / 64) * 64)
    assert.is(model.config.vocab_size, rows.length)
    assert.is(table.num_embeddings, rows.length)
    assert.equal(rows.slice(0, n), old)
    const mean = old[0].map((_, d) => old.reduce((sum, row) => sum + row[d], 0) / n)
    for (const row of rows.slice(n)) row.forEach((x, d) => assert.ok(Math.abs(x - mean[d]) < 1e-3))
    assert.is(head.weight === table.weight, tied)
    assert.equal(head.weight.shape, [rows.length, old[0].length])
    if (head.bias) assert.equal(head.bias.shape, [rows.length])
    const shape = tidy(() => {
      const run = model as unknown as (inputs: object) => { logits: Tensor }
      return [...run({ input_ids: [[1, rows.length - 1]] }).logits.shape]
    })
    assert.equal(shape, [1, 2, rows.length])
    model.resize_token_embeddings(n - 3)
    assert.equal(table.weight.tolist(), old.slice(0, n - 3))
    assert.throws(() => model.resize_token_embeddings(0), /new_num_tokens: expected a whole number from 1 up/)
    await model.save_pretrained(join(folder, 'resized'))
    const again = await Model.from_pretrained(join(folder, 'resized'))
    assert.is(again.config.vocab_size, n - 3)
    again.dispose()
    model.dispose()
  }
  assert.is(heapUsage().used, before)
})

test('a config and a model of one’s own', async () => {
  class NovelConfig extends LlamaConfig {
    static override readonly model_type = 'novel'
  }
  class NovelForCausalLM extends LlamaForCausalLM {
    static override readonly config_class = NovelConfig
  }
  await refused(AutoModelForCausalLM.from_config({ model_type: 'novel' }), /model_type.*novel.*Supported: .*llama/)
  assert.throws(() => AutoModelForCausalLM.register(NovelConfig, NovelForCausalLM), /AutoConfig.register\('novel'/)
  AutoConfig.register('novel', NovelConfig)
  AutoModelForCausalLM.register(NovelConfig, NovelForCausalLM)
  assert.throws(() => AutoConfig.register('novel', NovelConfig), /novel is there already.*exist_ok/)
  assert.throws(() => AutoConfig.register('other', NovelConfig), /model_type is "novel", expected "other"/)
  const { vocab_size, hidden_size } = json(`${root}/llama-mha/config.json`)
  const config = await AutoConfig.for_model('novel', {
    vocab_size,
    hidden_size,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  })
  assert.instance(config, NovelConfig)
  const model = await AutoModelForCausalLM.from_config(config, { dtype: 'bfloat16' })
  assert.instance(model, NovelForCausalLM)
  assert.is(model.dtype, 'bfloat16')
  await refused(AutoModel.from_config(config), /novel: task.*base/)
  AutoModel.register(NovelConfig, LlamaModel as unknown as ModelClass)
  assert.instance(await AutoModel.from_config(config), LlamaModel)
  model.dispose()
})

async function refused(promise: Promise<unknown>, words: RegExp): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error as Error,
  )
  assert.ok(error, `expected ${words}`)
  assert.match(error.message, words)
}

test.after(() => rmSync(folder, { recursive: true, force: true }))
test.run()
