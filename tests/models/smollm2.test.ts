// SmolLM2-135M-Instruct from its GGUF file against PyTorch on the dequantized weights: see tests/golden/README.md.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { load_file } from '../../src/io/index.ts'
import '../../src/generation/generate.ts'
import { TextStreamer } from '../../src/generation/streamers.ts'
import { AutoModelForCausalLM } from '../../src/models/index.ts'
import type { CausalLMOutput } from '../../src/models/outputs.ts'
import { tensor } from '../../src/ops/creation.ts'
import { tidy } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { AutoTokenizer } from '../../src/tokenizers/index.ts'
import { heapUsage, resetPeak } from '../../src/wasm/index.ts'
import { realModel } from './paths.ts'

interface Golden {
  ids: number[]
  top1: number[]
  perplexity: number
  full_positions: number[]
  chat: {
    messages: { role: string; content: string }[]
    prompt: string
    ids: number[]
    new_ids: number[]
    margins: number[]
    text: string
  }
}
const golden = JSON.parse(readFileSync('tests/golden/real/smollm2.json', 'utf8')) as Golden
const V = 49152
const path = realModel('smollm2')

/** Logits of the stored passage, (512,V), and what loading took. */
async function logitsOf(dtype: string): Promise<{ logits: Float32Array; weights: number; peak: number }> {
  const before = heapUsage().used
  resetPeak()
  const model = await AutoModelForCausalLM.from_pretrained(path as string, { dtype })
  const weights = heapUsage().used - before
  const peak = heapUsage().peak - before
  const forward = model as unknown as (inputs: object) => CausalLMOutput
  const logits = tidy(
    () => forward({ input_ids: tensor([golden.ids], { dtype: 'int64' }) }).logits.data as Float32Array,
  )
  model.dispose()
  assert.is(heapUsage().used, before)
  return { logits, weights, peak }
}

function logSumExp(row: Float32Array): number {
  const max = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  return max + Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0))
}
const rowOf = (logits: Float32Array, position: number) => logits.subarray(position * V, (position + 1) * V)
function perplexity(logits: Float32Array): number {
  let nats = 0
  for (let p = 0; p + 1 < golden.ids.length; p++)
    nats += logSumExp(rowOf(logits, p)) - rowOf(logits, p)[golden.ids[p + 1]]
  return Math.exp(nats / (golden.ids.length - 1))
}

if (path) {
  let exact: Float32Array

  test('float32 activations: logits within 1e-3 of PyTorch, peak memory within 64 MiB of the weights', async () => {
    const { logits, weights, peak } = await logitsOf('float32')
    assert.ok(peak <= weights + 64 * 2 ** 20, `peak ${peak}, weights ${weights}`)
    const stored = await load_file('tests/golden/real/smollm2.safetensors')
    const full = (stored['full.logits'] as Tensor).data as Float32Array
    let worst = 0
    let scale = 0
    golden.full_positions.forEach((position, r) => {
      const row = rowOf(logits, position)
      for (let i = 0; i < V; i++) {
        worst = Math.max(worst, Math.abs(row[i] - full[r * V + i]))
        scale = Math.max(scale, Math.abs(full[r * V + i]))
      }
    })
    for (const t of Object.values(stored)) t.dispose()
    assert.ok(worst < 1e-3 * scale, `worst ${worst} at scale ${scale}`)
    assert.ok(Math.abs(perplexity(logits) / golden.perplexity - 1) < 1e-4)
    exact = logits
  })

  test('default kernels over the passage: top-1 agreement 99%, mean KL 1e-5, perplexity within 0.1%', async () => {
    const { logits, weights, peak } = await logitsOf('auto')
    assert.ok(weights < 110 * 2 ** 20, `the blocks stay blocks: ${weights}`)
    assert.ok(peak <= weights + 64 * 2 ** 20, `peak ${peak}, weights ${weights}`)
    let agree = 0
    let divergence = 0
    golden.ids.forEach((_, p) => {
      const [q, e] = [rowOf(logits, p), rowOf(exact, p)]
      let best = 0
      for (let i = 1; i < V; i++) if (q[i] > q[best]) best = i
      if (best === golden.top1[p]) agree++
      const [zq, ze] = [logSumExp(q), logSumExp(e)]
      for (let i = 0; i < V; i++) divergence += Math.exp(e[i] - ze) * (e[i] - ze - q[i] + zq)
    })
    const n = golden.ids.length
    assert.ok(agree / n >= 0.99, `top-1 agreement ${agree / n}`)
    assert.ok(divergence / n <= 1e-5, `mean KL ${divergence / n}`)
    const ratio = perplexity(logits) / golden.perplexity
    assert.ok(Math.abs(ratio - 1) <= 0.001, `perplexity is ${ratio} of PyTorch's`)
  })

  test('a chat: the prompt, its ids and the greedy answer are PyTorch’s', async () => {
    const before = heapUsage().used
    const { messages, prompt, ids, new_ids, margins, text } = golden.chat
    const tokenizer = await AutoTokenizer.from_pretrained(path)
    assert.is(tokenizer.apply_chat_template(messages, { tokenize: false, add_generation_prompt: true }), prompt)
    assert.equal(tokenizer.encode(prompt, { add_special_tokens: false }), ids)
    const model = await AutoModelForCausalLM.from_pretrained(path, { dtype: 'float32' })
    let streamed = ''
    const streamer = new TextStreamer(tokenizer, {
      skip_prompt: true,
      skip_special_tokens: true,
      callback_function: (piece) => void (streamed += piece),
    })
    const out = await model.generate({ input_ids: [ids], max_new_tokens: new_ids.length, streamer })
    const answer = (out.tolist() as number[][])[0].slice(ids.length)
    out.dispose()
    model.dispose()
    assert.is(heapUsage().used, before)
    // Where the two best were almost equal the choice may fall the other way; up to there the texts are one.
    const near = margins.findIndex((margin) => margin < 1e-3)
    const sure = near < 0 ? new_ids.length : near
    assert.equal(answer.slice(0, sure), new_ids.slice(0, sure))
    assert.is(streamed, tokenizer.decode(answer, { skip_special_tokens: true }))
    if (near < 0) assert.is(streamed.trim(), text.replaceAll('<|im_end|>', '').trim())
  })
} else test.skip('SmolLM2', () => {})

test.run()
