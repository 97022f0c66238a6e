// from_pretrained: its options, and what someone sees who mistypes, names the wrong file or has a damaged one.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/generation/generate.ts'
import { env } from '../../src/hub/index.ts'
import {
  AutoConfig,
  AutoModel,
  AutoModelForCausalLM,
  AutoModelForMaskedLM,
  AutoModelForSequenceClassification,
  BertModel,
  type FromPretrainedOptions,
  type LlamaForCausalLM,
  PreTrainedConfig,
} from '../../src/models/index.ts'
import { QuantizedEmbedding, QuantizedLinear } from '../../src/quant/layers.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { AutoTokenizer } from '../../src/tokenizers/index.ts'
import { RushlightError } from '../../src/util/errors.ts'
import { heapUsage } from '../../src/wasm/index.ts'
import { startHub } from '../hub/server.ts'

const golden = 'tests/golden/models'
const small = `${golden}/llama-mha`
const shakespeare = 'examples/train-shakespeare/model'
const folder = mkdtempSync(join(tmpdir(), 'rushlight-from-pretrained-'))
const load = AutoModelForCausalLM.from_pretrained

/** A copy of the small model with something wrong in it. */
function damaged(name: string, change: (directory: string) => void, from = small): string {
  const directory = join(folder, name)
  cpSync(from, directory, { recursive: true })
  change(directory)
  return directory
}
const withConfig = (name: string, change: object) =>
  damaged(name, (directory) => {
    const file = `${directory}/config.json`
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }))
  })

async function refused(promise: Promise<unknown>, ...words: RegExp[]): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  assert.instance(error, RushlightError, String(error))
  for (const pattern of words) assert.match((error as Error).message, pattern)
}

test('a path that leads nowhere, or to something else', async () => {
  await refused(load('./no-such-folder'), /no-such-folder/, /Hint/)
  await refused(load('LICENSE'), /LICENSE/, /Hint/)
  await refused(load(undefined as never), /expected a path|expected a name/)
  await refused(load('no-such.gguf'), /no-such\.gguf.*no such file/)
  mkdirSync(join(folder, 'directory.gguf'))
  await refused(load(join(folder, 'directory.gguf')), /expected a file, found a directory/)
  writeFileSync(join(folder, 'text.gguf'), 'not a gguf at all, but some text of a length')
  await refused(load(join(folder, 'text.gguf')), /text\.gguf/, /GGUF/)
})

test('a repository with something missing or damaged', async () => {
  const before = heapUsage().used
  await refused(load(damaged('no-config', (d) => rmSync(`${d}/config.json`))), /config\.json/, /Hint/)
  await refused(load(damaged('no-weights', (d) => rmSync(`${d}/model.safetensors`))), /safetensors/, /Hint/)
  for (const size of [0, 4, 1000, 20000])
    await refused(
      load(damaged(`cut-${size}`, (d) => truncateSync(`${d}/model.safetensors`, size))),
      /model\.safetensors/,
    )
  await refused(
    load(damaged('pointer', (d) => writeFileSync(`${d}/model.safetensors`, 'version https://git-lfs.example/spec/v1'))),
    /pointer of Git LFS/,
  )
  await refused(
    load(damaged('bad-json', (d) => writeFileSync(`${d}/config.json`, '{ "model_type": '))),
    /config\.json.*JSON/,
  )
  await refused(load(damaged('list', (d) => writeFileSync(`${d}/config.json`, '[1]'))), /a JSON object, found a list/)
  await refused(AutoTokenizer.from_pretrained(small), /tokenizer\.json/, /Hint/)
  assert.is(heapUsage().used, before)
})

test('a config that is wrong, or belongs to other weights', async () => {
  const before = heapUsage().used
  const cases: [object, RegExp][] = [
    [{ model_type: undefined }, /model_type is missing.*llama/],
    [{ model_type: 'imaginary' }, /model_type: "imaginary" is not supported. Supported: .*llama/],
    [{ hidden_size: '32' }, /hidden_size: expected a whole number from 1 up, found "32"/],
    [{ vocab_size: null }, /vocab_size/],
    [{ num_hidden_layers: -1 }, /num_hidden_layers/],
    [{ num_attention_heads: 3, num_key_value_heads: 2 }, /multiple/],
    [{ hidden_act: 'sinc' }, /hidden_act: "sinc" is not supported. Supported: .*silu/],
    [
      { rope_parameters: { rope_type: 'weird', rope_theta: 10 } },
      /rope_type: "weird" is not supported. Supported: .*llama3/,
    ],
    [
      { intermediate_size: 40 },
      /mis-shaped: model\.layers\.0\.mlp.*expected \[40, 32\], found \[53, 32\].*ignore_mismatched_sizes/,
    ],
    [{ num_hidden_layers: 3 }, /missing: model\.layers\.2\..*Hint: does config.json belong/],
    [{ num_hidden_layers: 1 }, /unexpected: model\.layers\.1\..*Hint: does config.json belong/],
    [{ quantization_config: { quant_method: 'gptq' } }, /quantization_config/],
  ]
  for (const [i, [change, words]] of cases.entries()) await refused(load(withConfig(`config-${i}`, change)), words)
  await refused(
    AutoModelForMaskedLM.from_pretrained(small),
    /llama: task: "masked-lm" is not supported. Supported: .*"causal-lm"/,
  )
  await refused(BertModel.from_pretrained(small), /do not fit BertModel|config/)
  assert.is(heapUsage().used, before)
})

test('options: each wrong one is named, with what there is', async () => {
  const cases: [unknown, RegExp][] = [
    [{ dtyp: 'float32' }, /unsupported option dtyp. Supported: dtype, /],
    [{ dtype: 'float64' }, /dtype: "float64" is not supported. Supported: "auto", "float32"/],
    [{ dtype: 'int8' }, /dtype: "int8"/],
    [{ dtype: 5 }, /dtype: 5 is not supported/],
    [{ device: 'cuda' }, /device: "cuda" is not supported. Supported: .*"cpu"/],
    [{ device_map: { '': 'cuda:0' } }, /device_map: "cuda:0"/],
    [{ trust_remote_code: true }, /trust_remote_code: true is not supported: rushlight never runs code/],
    [{ attn_implementation: 'flash_attention_2' }, /attn_implementation.*Supported: "sdpa", "eager"/],
    [{ quantization_config: { load_in_8bit: true, load_in_4bit: true } }, /found both/],
    [{ quantization_config: { bits: 4 } }, /quantization_config: unsupported option bits/],
    ['float32', /expected options as an object/],
    [null, /expected options as an object/],
  ]
  for (const [options, words] of cases) await refused(load(small, options as FromPretrainedOptions), words)
})

test('dtype under both names; devices; keys of the config', async () => {
  const before = heapUsage().used
  for (const [options, dtype] of [
    [{}, 'float32'],
    [{ dtype: 'bfloat16' }, 'bfloat16'],
    [{ torch_dtype: 'float16', device_map: 'auto' }, 'float16'],
    [{ dtype: 'torch.bfloat16', device: 'cpu' }, 'bfloat16'],
    [{ dtype: 'fp32', device_map: { '': 'cpu' }, low_cpu_mem_usage: true }, 'float32'],
  ] as const) {
    const model = await load(small, options)
    assert.is(model.dtype, dtype)
    assert.is(model.device, 'cpu')
    assert.not(model.training)
    model.dispose()
  }
  const model = await load(small, { max_position_embeddings: 77 })
  assert.is(model.config.max_position_embeddings, 77)
  model.dispose()
  const config = await AutoConfig.from_pretrained(small, { num_labels: 5 })
  assert.instance(config, PreTrainedConfig)
  assert.is(config.num_labels, 5)
  const named = await AutoConfig.from_pretrained(`${golden}/llama-classifier`, { id2label: { 0: 'no', 1: 'yes' } })
  assert.is(named.num_labels, 2)
  const [own, info] = await AutoModelForSequenceClassification.from_pretrained(`${golden}/llama-classifier`, {
    num_labels: 7,
    ignore_mismatched_sizes: true,
    output_loading_info: true,
  })
  assert.is(own.config.num_labels, 7)
  assert.is(info.mismatched_keys.length, 1)
  own.dispose()
  assert.is(heapUsage().used, before)
})

test('q8 and q4: linear layers are rounded while loading, embeddings to 8 bits, and the text changes little', async () => {
  const before = heapUsage().used
  const ids = { input_ids: [[5, 60, 7, 300, 9, 1000, 11, 2, 99, 123]] }
  const logitsOf = (model: unknown) =>
    tidy(() => (model as LlamaForCausalLM)(ids).logits.to('float32').tolist().flat(2) as number[])
  const full = await load(shakespeare, { dtype: 'float32' })
  const expected = logitsOf(full)
  const spread = Math.sqrt(expected.reduce((sum, x) => sum + x * x, 0) / expected.length)
  full.dispose()
  const plain = heapUsage().used
  for (const [options, format, most] of [
    [{ dtype: 'q8' }, 'q8_0', 0.03],
    [{ quantization_config: { load_in_8bit: true } }, 'q8_0', 0.03],
    [{ dtype: 'q4' }, 'q4_0', 0.35],
    [{ dtype: 'q4_1' }, 'q4_1', 0.35],
    [{ quantization_config: { load_in_4bit: true } }, 'q4_0', 0.35],
  ] as const) {
    const model = await load(shakespeare, options)
    const layer = model.get_submodule('model.layers.0.mlp.up_proj')
    assert.instance(layer, QuantizedLinear)
    assert.is((layer as QuantizedLinear).weight.format, format)
    assert.instance(model.get_input_embeddings(), QuantizedEmbedding)
    const found = logitsOf(model)
    const error = Math.sqrt(found.reduce((sum, x, i) => sum + (x - expected[i]) ** 2, 0) / found.length) / spread
    assert.ok(error < most && error > most / 100, `${format}: ${error} of the logits' size`)
    model.dispose()
  }
  assert.is(plain, before)
  assert.is(heapUsage().used, before)
})

test('of the Hub: what can never fit is refused before it is downloaded, and a branch is found', async () => {
  const config = readFileSync(`${small}/config.json`, 'utf8')
  const index = {
    metadata: { total_size: 2.5e10 },
    weight_map: { 'model.norm.weight': 'model-00001-of-00002.safetensors' },
  }
  const hub = await startHub({
    repositories: {
      'someone/huge': {
        files: {
          'config.json': JSON.stringify({ ...JSON.parse(config), dtype: 'bfloat16' }),
          'model.safetensors.index.json': JSON.stringify(index),
          'model-00001-of-00002.safetensors': { content: new Uint8Array(1000), lfs: true },
        },
      },
      'someone/small': {
        files: { 'README.md': 'See the branch dev.' },
        branches: {
          dev: {
            'config.json': config,
            'model.safetensors': { content: readFileSync(`${small}/model.safetensors`), lfs: true },
          },
        },
      },
    },
  })
  const cache_dir = join(folder, 'hub')
  const { remoteHost } = env
  env.remoteHost = hub.url
  try {
    await refused(
      load('someone/huge', { cache_dir }),
      /someone\/huge as LlamaForCausalLM needs 23.28 GiB.*Hint: a smaller dtype/,
    )
    await refused(load('someone/huge', { cache_dir, dtype: 'q4' }), /needs 6.55 GiB/)
    assert.ok(!hub.requests.some(({ method, path }) => method === 'GET' && path.includes('model-00001')))
    await refused(load('someone/small', { cache_dir }), /config\.json/)
    const model = await load('someone/small', { cache_dir, revision: 'dev' })
    const found = await AutoConfig.from_pretrained('someone/small', {
      cache_dir,
      revision: 'dev',
      local_files_only: true,
    })
    assert.is(found.vocab_size, model.config.vocab_size)
    model.dispose()
    await refused(load('someone/nobody', { cache_dir }), /someone\/nobody/, /no local directory/)
  } finally {
    env.remoteHost = remoteHost
    await hub.close()
  }
})

test('output_attentions: with eager attention each layer tells its weights, with the fused one it is refused', async () => {
  const before = heapUsage().used
  const inputs = {
    input_ids: [
      [5, 6, 7, 8],
      [9, 10, 0, 0],
    ],
    attention_mask: [
      [1, 1, 1, 1],
      [1, 1, 0, 0],
    ],
  }
  const fused = (await load(small)) as LlamaForCausalLM
  const eager = (await load(small, { attn_implementation: 'eager' })) as LlamaForCausalLM
  assert.throws(() => fused({ ...inputs, output_attentions: true }), /attn_implementation: 'eager'/)
  tidy(() => {
    const { logits, attentions } = eager({ ...inputs, output_attentions: true })
    assert.is(attentions?.length, eager.config.num_hidden_layers)
    for (const weights of attentions ?? []) {
      assert.equal(weights.shape, [2, eager.config.num_attention_heads, 4, 4])
      for (const sum of weights.sum(-1).tolist().flat(2) as number[]) assert.ok(Math.abs(sum - 1) < 1e-5)
      assert.is(weights.triu(1).abs().max().item(), 0, 'nobody looks ahead')
      assert.is(weights.select(0, 1).slice(2, 2).abs().max().item(), 0, 'nor at padding')
    }
    const difference = logits.sub(fused(inputs).logits).select(0, 0).abs().max().item()
    assert.ok(difference < 1e-5 * logits.abs().max().item(), `${difference}`)
  })
  fused.dispose()
  eager.dispose()
  const base = (await AutoModel.from_pretrained(small)) as unknown as LlamaForCausalLM['model']
  assert.is(base.constructor.name, 'LlamaModel')
  base.dispose()
  assert.is(heapUsage().used, before)
})

test.after(() => rmSync(folder, { recursive: true, force: true }))
test.run()
