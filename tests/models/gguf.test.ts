// What llama.cpp's converter made of tiny models, undone: config, every weight to the bit, and what the model computes.
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AutoConfig, AutoModel, AutoModelForCausalLM } from '../../src/index.ts'
import {
  bytesSource,
  type Checkpoint,
  type GgufTensor,
  type GgufType,
  type GgufValue,
  openFile,
  openGguf,
  readBytes,
  writeGguf,
} from '../../src/io/index.ts'
import { ggufCheckpoint, ggufConfig, ggufGenerationConfig } from '../../src/models/gguf/index.ts'
import { loadWeights } from '../../src/models/loading.ts'
import { architecture } from '../../src/models/registry.ts'
import { Module } from '../../src/nn/module.ts'
import { Parameter } from '../../src/nn/parameter.ts'
import { QuantizedLinear } from '../../src/quant/layers.ts'
import { tensor } from '../../src/ops/creation.ts'
import { tidy } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'
import { written } from '../io/files.ts'

const FOLDER = 'tests/golden/gguf'

interface Golden {
  class: string
  config: Record<string, unknown>
  tensors: Record<string, { shape: number[]; sha256: string }>
  ids: number[][]
  shape: number[]
  result: string
}
const models = readdirSync(FOLDER).flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -5)] : []))
const goldenOf = (name: string): Golden => JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8'))
const open = async (name: string) => openGguf(await openFile(`${FOLDER}/${name}.gguf`))

/** Parameters under any names. */
class Tree extends Module<[], null> {
  forward(): null {
    return null
  }
  put(path: string[], parameter: Parameter): void {
    const own = this as unknown as Record<string, Tree | Parameter>
    const [first, ...rest] = path
    if (rest.length === 0) own[first] = parameter
    else {
      own[first] ??= new Tree()
      ;(own[first] as Tree).put(rest, parameter)
    }
  }
}

/** GPT-2's matrices, which its class keeps the other way round than its files. */
const sideways = (name: string) => /\.c_(attn|proj|fc)\.weight$/.test(name) && name.startsWith('transformer.h.')

/** Every weight of a checkpoint as the loader reads it. */
async function loaded(checkpoint: Checkpoint): Promise<Tree> {
  const tree = new Tree()
  for (const [name, { shape }] of checkpoint.tensors)
    tree.put(
      name.split('.'),
      Parameter.lazy([...shape], () => {}),
    )
  await loadWeights(tree, checkpoint, { dtype: 'float32', place: (name) => ({ name, transposed: sideways(name) }) })
  return tree
}

const floats = (base64: string) => new Float32Array(new Uint8Array(Buffer.from(base64, 'base64')).buffer)

/** What a GGUF file cannot say as the checkpoint did, though it means the same. */
const OTHER: Record<string, Record<string, unknown>> = {
  mistral: { model_type: 'llama', attention_bias: false, mlp_bias: false },
  'llama-factors': {
    rope_parameters: {
      rope_type: 'longrope',
      rope_theta: 500,
      short_factor: [1, 2.1663752, 8, 8],
      long_factor: [1, 2.1663752, 8, 8],
      attention_factor: 1,
      original_max_position_embeddings: 64,
    },
  },
  gpt2: { n_inner: 64 },
  'gpt2-q8_0': { n_inner: 128 },
}
/** Without what is so anyway. */
function plainRope(rope: unknown): unknown {
  const {
    partial_rotary_factor: part,
    original_max_position_embeddings: original,
    ...rest
  } = rope as Record<string, unknown>
  return {
    ...rest,
    ...(part !== undefined && part !== 1 && { partial_rotary_factor: part }),
    ...(rest.rope_type !== undefined && rest.rope_type !== 'default' && { original_max_position_embeddings: original }),
  }
}

/** Falcon's converter writes 2048 whatever the config says; the file has no padding token. */
const UNSAID: Record<string, string[]> = {
  'falcon-7b': ['max_position_embeddings'],
  'falcon-40b': ['max_position_embeddings'],
  'falcon-40b-q8_0': ['max_position_embeddings'],
}

for (const name of models) {
  const golden = goldenOf(name)

  test(`${name}: its config`, async () => {
    const file = await open(name)
    const { pad_token_id, ...config } = await ggufConfig(file)
    await file.close()
    assert.is(pad_token_id, null)
    const expected: Record<string, unknown> = { ...golden.config, ...OTHER[name] }
    for (const [key, value] of Object.entries(config))
      if (key === 'rope_parameters') assert.equal(plainRope(value), plainRope(expected[key]))
      else if (!UNSAID[name]?.includes(key)) assert.equal(value, expected[key], `${key}: ${JSON.stringify(value)}`)
  })

  test(`${name}: every weight under the checkpoint's name, to the bit`, async () => {
    const before = heapUsage().used
    const checkpoint = ggufCheckpoint(await open(name))
    const tree = await loaded(checkpoint)
    const names = Object.keys(golden.tensors).filter((key) => !key.startsWith('pooler.')) // llama.cpp has no use for it
    assert.equal([...checkpoint.tensors.keys()].sort(), names.sort())
    for (const [key, weight] of tree.state_dict())
      tidy(() => {
        const own = sideways(key) ? weight.t().contiguous() : weight
        assert.equal(own.shape, golden.tensors[key].shape, key)
        const values = own.float().data as Float32Array
        if (key.endsWith('A_log')) return // the converter took -exp of it: the logits show that it comes back
        assert.is(createHash('sha256').update(values).digest('hex'), golden.tensors[key].sha256, key)
      })
    tree.dispose()
    await checkpoint.close()
    assert.is(heapUsage().used, before)
  })

  test(`${name}: computes what it did`, async () => {
    const file = await open(name)
    const { model_type } = await ggufConfig(file)
    await file.close()
    const known = await architecture(model_type).then(
      () => true,
      () => false,
    )
    if (!known) return console.log(`SKIP ${name}: there is no architecture ${model_type} yet`)
    await computes(name, golden, 'float32', 2e-4)
    // Products with weights in blocks round the activations, here to 16 bits.
    if (name.endsWith('q8_0')) await computes(name, golden, 'auto', 1e-3)
  })
}

/** Fails unless the model gives what it gave before it was converted, but for `tolerance` of the usual size. */
async function computes(name: string, golden: Golden, dtype: string, tolerance: number): Promise<void> {
  const before = heapUsage().used
  const Auto = golden.class === 'BertModel' ? AutoModel : AutoModelForCausalLM
  const { warn } = console
  console.warn = () => {} // of BERT's pooler, which the file has not
  const model = await Auto.from_pretrained(`${FOLDER}/${name}.gguf`, { dtype }).finally(() => (console.warn = warn))
  const quantized = [...model.modules()].some((module) => module instanceof QuantizedLinear)
  assert.is(quantized, dtype === 'auto', 'weights in blocks stay so')
  const ids = tensor(golden.ids, { dtype: 'int64' })
  const output = (model as unknown as (inputs: object) => Record<string, Tensor>)({ input_ids: ids })
  const result = output.logits ?? output.last_hidden_state
  assert.equal(result.shape, golden.shape)
  const expected = floats(golden.result)
  const found = result.float().data as Float32Array
  const size = Math.sqrt(expected.reduce((sum, x) => sum + x * x, 0) / expected.length)
  const off = expected.reduce((most, x, i) => Math.max(most, Math.abs(x - found[i])), 0)
  assert.ok(off < tolerance * size, `${dtype}: off by ${off} where values are about ${size}`)
  for (const t of Object.values(output)) t.dispose?.()
  ids.dispose()
  model.dispose()
  assert.is(heapUsage().used, before)
}

/** A directory of these files. */
function directory(files: Record<string, Uint8Array | string>): string {
  const path = mkdtempSync(join(tmpdir(), 'rushlight-'))
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(path, name), bytes)
  return path
}

/** Whether two models give the same logits. */
async function sameAsLlama(path: string, options: { gguf_file?: string } = {}): Promise<void> {
  const golden = goldenOf('llama')
  const before = heapUsage().used
  const model = await AutoModelForCausalLM.from_pretrained(path, options)
  const { logits } = (model as unknown as (inputs: object) => { logits: Tensor })({ input_ids: golden.ids })
  const [found, expected] = [logits.data as Float32Array, floats(golden.result)]
  assert.ok(expected.every((x, i) => Math.abs(x - found[i]) < 1e-4))
  logits.dispose()
  model.dispose()
  assert.is(heapUsage().used, before)
}

test('gguf_file names a file of a repository; a split one is loaded whole', async () => {
  const file = await open('llama')
  const tensors: GgufTensor[] = []
  for (const [name, stored] of file.tensors) {
    const bytes = await readBytes(stored.source, stored.offset, stored.bytes)
    tensors.push({ name, type: stored.type, shape: stored.shape, data: () => bytes })
  }
  const files: Record<string, Uint8Array> = { 'whole.gguf': readFileSync(`${FOLDER}/llama.gguf`) }
  for (let no = 0; no < 2; no++) {
    const split = { 'split.no': no, 'split.count': 2, 'split.tensors.count': tensors.length }
    files[`model-0000${no + 1}-of-00002.gguf`] = await written((sink) =>
      writeGguf(sink, {
        metadata: new Map<string, GgufValue>([...(no === 0 ? file.metadata : []), ...Object.entries(split)]),
        types: new Map<string, GgufType>([
          ...(no === 0 ? file.types : []),
          ...Object.keys(split).map((key): [string, GgufType] => [key, key.endsWith('s.count') ? 'INT32' : 'UINT16']),
        ]),
        tensors: tensors.slice(no * 9, no === 0 ? 9 : undefined),
      }),
    )
  }
  await file.close()
  const path = directory(files)
  await sameAsLlama(path, { gguf_file: 'whole.gguf' })
  await sameAsLlama(path, { gguf_file: 'model-00001-of-00002.gguf' })
  await sameAsLlama(join(path, 'model-00001-of-00002.gguf'))
  const config = await AutoConfig.from_pretrained(path, { gguf_file: 'whole.gguf' })
  assert.is(config.head_dim, 6)
  await AutoModel.from_pretrained(path).then(
    () => assert.unreachable(),
    (error) => assert.match(error.message, /there is no config\.json in it\. Hint: .*gguf_file: '.*\.gguf'/),
  )
  rmSync(path, { recursive: true })
})

test('early files of Phi have query, key and value in one', async () => {
  const golden = goldenOf('phi')
  const file = await open('phi')
  const tensors: GgufTensor[] = []
  const contents = new Map<string, Uint8Array>()
  for (const [name, { source, offset, bytes }] of file.tensors)
    contents.set(name, await readBytes(source, offset, bytes))
  for (const [name, { type, shape }] of file.tensors) {
    const data = (part: string) => contents.get(name.replace('attn_q', part)) as Uint8Array
    if (/attn_[kv]\./.test(name)) continue
    if (!/attn_q\./.test(name)) tensors.push({ name, type, shape, data: () => data('attn_q') })
    else
      tensors.push({
        name: name.replace('attn_q', 'attn_qkv'),
        type,
        shape: [3 * shape[0], ...shape.slice(1)],
        data: () => Buffer.concat(['attn_q', 'attn_k', 'attn_v'].map(data)),
      })
  }
  const { metadata, types } = file
  const bytes = await written((sink) => writeGguf(sink, { metadata, types, tensors }))
  const fused = ggufCheckpoint(await openGguf(bytesSource(bytes)))
  const tree = await loaded(fused)
  assert.equal([...fused.tensors.keys()].sort(), Object.keys(golden.tensors).sort())
  for (const [key, weight] of tree.state_dict())
    assert.is(
      createHash('sha256')
        .update(weight.data as Float32Array)
        .digest('hex'),
      golden.tensors[key].sha256,
      key,
    )
  tree.dispose()
  await file.close()
})

test('the end of a turn ends a text', () => {
  const ends = (...tokens: [string, number][]) =>
    ggufGenerationConfig({
      metadata: new Map(tokens.map(([name, id]) => [`tokenizer.ggml.${name}_token_id`, id])),
    })
  assert.equal(ends(['bos', 2], ['eos', 1], ['eot', 107]), {
    bos_token_id: 2,
    eos_token_id: [1, 107],
    pad_token_id: null,
  })
  assert.equal(ends(['eos', 1], ['eot', 1], ['padding', 0]), { bos_token_id: null, eos_token_id: 1, pad_token_id: 0 })
})

test('pytorch_model.bin is read where there is no safetensors', async () => {
  const path = directory({
    'config.json': JSON.stringify(goldenOf('llama').config),
    'pytorch_model.bin': readFileSync(`${FOLDER}/llama.bin`),
  })
  await sameAsLlama(path)
  rmSync(path, { recursive: true })
})

test('an architecture or a tensor that is unknown is refused with what there is', async () => {
  const text = (value: string) => ({
    metadata: new Map([['general.architecture', value]]),
    types: new Map([['general.architecture', 'STRING' as const]]),
  })
  const tensors = [{ name: 'blk.0.attn_x.weight', type: 'F32', shape: [1], data: () => new Uint8Array(4) }]
  const file = async (value: string) =>
    openGguf(bytesSource(await written((sink) => writeGguf(sink, { ...text(value), tensors })), 'x.gguf'))
  await ggufConfig(await file('rwkv')).then(
    () => assert.unreachable(),
    (error) =>
      assert.match(error.message, /x\.gguf: general\.architecture: "rwkv" is not supported\. Supported: "llama",/),
  )
  for (const [model, heads] of [
    ['llama', 0],
    ['llama', 5],
    ['llama', 8],
    ['bloom', 5],
    ['falcon-40b', 5],
  ] as const) {
    const opened = await open(model)
    const metadata = new Map(opened.metadata).set(
      `${opened.metadata.get('general.architecture')}.attention.head_count`,
      heads,
    )
    assert.throws(() => ggufCheckpoint({ ...opened, metadata }), /": shape: expected rows of .* equal parts/, model)
    await opened.close()
  }
  const opened = await file('llama')
  assert.throws(
    () => ggufCheckpoint(opened),
    /x\.gguf: tensor "blk\.0\.attn_x\.weight": expected a tensor of the architecture llama, found an unknown name/,
  )
})

test.run()
