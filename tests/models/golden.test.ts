// Every architecture against PyTorch: outputs, losses, every gradient, five AdamW steps, greedy text. See tests/golden/README.md.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { load_file } from '../../src/io/tensors.ts'
import * as models from '../../src/models/index.ts'
import type { ModelClass, PreTrainedModel } from '../../src/models/model.ts'
import { AdamW } from '../../src/optim/adam.ts'
import '../../src/generation/generate.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { show } from '../../src/tensor/shape.ts'
import { liveTensors, type Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'

interface Batch {
  input_ids: number[][]
  attention_mask?: number[][]
  labels?: number[][] | number[]
  loss: number
}
interface Golden {
  class: string
  batches: Record<string, Batch>
  grad_batch?: string
  multi_label?: { batch: string; labels: number[][]; loss: number }
  train?: {
    batch: string
    optimizer: { lr: number; betas: [number, number]; eps: number; weight_decay: number }
    losses: number[]
  }
  generate?: {
    name: string
    input_ids: number[][]
    attention_mask?: number[][]
    options: Record<string, unknown>
    sequences: number[][]
  }[]
}
type Output = {
  loss?: Tensor
  logits?: Tensor
  last_hidden_state?: Tensor
  pooler_output?: Tensor
  hidden_states?: Tensor[]
  attentions?: Tensor[]
  router_logits?: Tensor[]
  aux_loss?: Tensor
}
type AnyModel = PreTrainedModel & ((inputs: object) => Output)

const root = 'tests/golden/models'
const classes = models as unknown as Record<
  string,
  ModelClass & { from_pretrained(path: string, options?: object): Promise<AnyModel> }
>

const flat = (t: Tensor): number[] => {
  const list = t.tolist()
  return Array.isArray(list) ? list.flat(Number.POSITIVE_INFINITY) : [list]
}

/** Largest difference between the two, relative to the largest of what is expected. Rows at padding are 0 in the golden files. */
function difference(actual: Tensor, expected: Tensor, mask?: number[][]): number {
  assert.is(show(actual.shape), show(expected.shape))
  const [a, e] = [flat(actual), flat(expected)]
  const width = mask && actual.ndim === 3 ? actual.shape[2] : 0
  const keep = width ? (mask as number[][]).flat().flatMap((m) => new Array<number>(width).fill(m)) : null
  let worst = 0
  let scale = 0
  for (let i = 0; i < a.length; i++) {
    if (keep && !keep[i]) continue
    worst = Math.max(worst, Math.abs(a[i] - e[i]))
    scale = Math.max(scale, Math.abs(e[i]))
  }
  return worst / scale
}

/** The loss of a batch: the model's own, or for a base model the one that the golden files made up. */
function lossOf(output: Output): Tensor {
  if (output.loss) return output.loss
  const base = (output.last_hidden_state as Tensor).square().mean()
  return output.pooler_output ? base.add(output.pooler_output.square().mean()) : base
}

function inputsOf({ loss: _, ...inputs }: Batch, options: object = {}): object {
  const { labels } = inputs
  return { ...inputs, ...(labels && { labels: Array.isArray(labels[0]) ? labels : labels }), ...options }
}

/** Whether a folder's golden tensors hold attention weights: its header says. */
function hasAttentions(path: string): boolean {
  return readFileSync(`${path}/golden.safetensors`, 'latin1').includes('"plain.attentions.0"')
}

// RUSHLIGHT_MODEL=part of a name: those folders alone.
for (const name of readdirSync(root).filter((n) => n.includes(process.env.RUSHLIGHT_MODEL ?? ''))) {
  const path = `${root}/${name}`
  const golden = JSON.parse(readFileSync(`${path}/golden.json`, 'utf8')) as Golden
  const load = async (options: object = {}) =>
    classes[golden.class].from_pretrained(path, { dtype: 'float32', ...options })

  test(`${name}: outputs, losses and hidden states`, async () => {
    const used = heapUsage().used
    const model = await load()
    const expected = await load_file(`${path}/golden.safetensors`)
    for (const [batch, given] of Object.entries(golden.batches))
      tidy(() => {
        const output = model(inputsOf(given, { output_hidden_states: batch === 'plain' }))
        for (const key of ['logits', 'last_hidden_state', 'pooler_output', 'aux_loss'] as const) {
          const want = expected[`${batch}.${key}`]
          if (want) assert.ok(difference(output[key] as Tensor, want, given.attention_mask) < 1e-4, `${batch}.${key}`)
        }
        output.hidden_states?.forEach((h, i) =>
          assert.ok(difference(h, expected[`plain.hidden_states.${i}`]) < 1e-4, `hidden state ${i}`),
        )
        if (batch === 'plain')
          output.router_logits?.forEach((r, i) =>
            assert.ok(difference(r, expected[`plain.router_logits.${i}`]) < 1e-4, `router ${i}`),
          )
        if (output.loss)
          assert.ok(Math.abs(output.loss.item() - given.loss) < 1e-4 * Math.max(1, given.loss), `${batch}.loss`)
      })
    for (const t of Object.values(expected)) t.dispose()
    model.dispose()
    assert.is(heapUsage().used, used)
  })

  if (hasAttentions(path))
    test(`${name}: the weights of attention, which leave the rest as it is`, async () => {
      const used = heapUsage().used
      const model = await load({ attn_implementation: 'eager' })
      const expected = await load_file(`${path}/golden.safetensors`)
      tidy(() => {
        const output = model(inputsOf(golden.batches.plain, { output_attentions: true }))
        output.attentions?.forEach((weights, i) =>
          assert.ok(difference(weights, expected[`plain.attentions.${i}`]) < 1e-4, `layer ${i}`),
        )
        assert.is(
          output.attentions?.length,
          Object.keys(expected).filter((k) => k.startsWith('plain.attentions.')).length,
        )
        const key = output.logits ? 'logits' : 'last_hidden_state'
        assert.ok(difference(output[key] as Tensor, expected[`plain.${key}`]) < 1e-4, key)
      })
      for (const t of Object.values(expected)) t.dispose()
      model.dispose()
      assert.is(heapUsage().used, used)
    })

  const { grad_batch, train } = golden
  if (grad_batch)
    test(`${name}: the gradient of every parameter`, async () => {
      const used = heapUsage().used
      const tensors = liveTensors()
      const model = (await load()).train()
      const expected = await load_file(`${path}/golden.safetensors`)
      tidy(() => lossOf(model(inputsOf(golden.batches[grad_batch]))).backward())
      const names = [...model.named_parameters()].map(([n]) => n)
      const wanted = Object.keys(expected)
        .filter((k) => k.startsWith('grad.'))
        .map((k) => k.slice(5))
      assert.equal([...names].sort(), wanted.sort())
      // Some gradients are zero but for rounding: each is compared at the scale of its own largest, or a thousandth of the model's.
      const largest = Math.max(...wanted.map((n) => Math.max(...flat(expected[`grad.${n}`]).map(Math.abs))))
      const { transposed } = classes[golden.class]
      for (const [n, parameter] of model.named_parameters()) {
        const theirs = expected[`grad.${n}`]
        const turned = transposed.some((pattern) => pattern.test(n))
        const [a, e] = [flat(parameter.grad as Tensor), tidy(() => flat(turned ? theirs.t() : theirs))]
        const scale = Math.max(...e.map(Math.abs), largest * 1e-3)
        const worst = a.reduce((w, x, i) => Math.max(w, Math.abs(x - e[i])), 0)
        assert.ok(worst < 2e-4 * scale, `grad of ${n}: ${worst} at scale ${scale}`)
      }
      for (const t of Object.values(expected)) t.dispose()
      model.dispose()
      assert.is(heapUsage().used, used)
      assert.is(liveTensors(), tensors)
    })

  if (train)
    test(`${name}: losses over five AdamW steps`, async () => {
      const used = heapUsage().used
      const model = (await load()).train()
      const { batch, optimizer: given, losses } = train
      const optimizer = new AdamW([...model.parameters()], {
        lr: given.lr,
        betas: given.betas,
        eps: given.eps,
        weight_decay: given.weight_decay,
      })
      losses.forEach((expected, step) => {
        const loss = tidy(() => {
          const out = lossOf(model(inputsOf(golden.batches[batch])))
          out.backward()
          optimizer.step()
          optimizer.zero_grad()
          return out.item()
        })
        assert.ok(
          Math.abs(loss - expected) < 1e-3 * Math.max(1, expected),
          `step ${step}: ${loss}, expected ${expected}`,
        )
      })
      optimizer.dispose()
      model.dispose()
      assert.is(heapUsage().used, used)
    })

  for (const { name: what, input_ids, attention_mask, options, sequences } of golden.generate ?? [])
    test(`${name}: greedy text, ${what}`, async () => {
      const used = heapUsage().used
      const model = await load()
      const out = await model.generate({ input_ids, attention_mask, ...options })
      assert.equal(out.tolist(), sequences)
      out.dispose()
      model.dispose()
      assert.is(heapUsage().used, used)
    })

  if (existsSync(`${path}/config.legacy.json`))
    test(`${name}: the older spelling of its config means the same`, () => {
      const read = (file: string) => JSON.parse(readFileSync(`${path}/${file}`, 'utf8'))
      const { config_class } = classes[golden.class]
      const [now, then] = [new config_class(read('config.json')), new config_class(read('config.legacy.json'))]
      const types = Object.keys(now.ropeSettings()).filter((key) => key.endsWith('_attention'))
      for (const type of types.length > 0 ? types : [undefined])
        assert.equal(models.ropeParameters(then, type), models.ropeParameters(now, type))
      for (const key of Object.keys((config_class as unknown as { defaults: object }).defaults))
        if (!['rope_theta', 'partial_rotary_factor', 'full_attn_idxs'].includes(key))
          assert.equal(then[key], now[key], key)
    })
}

test.run()
