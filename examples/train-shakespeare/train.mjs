// Trains a small Llama on Shakespeare from nothing, with rushlight's own autograd and AdamW, on every thread.
//
//   npm run build && node examples/train-shakespeare/train.mjs [--epochs N] [--threads N] [--checkpoint FOLDER]
//
// Writes a checkpoint every few minutes and goes on from it when started again. The best weights by validation loss end up in
// model/ as bfloat16 safetensors, with a model card.
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import {
  AdamW,
  AutoTokenizer,
  init,
  LlamaConfig,
  LlamaForCausalLM,
  load_file,
  manual_seed,
  memory,
  nn,
  no_grad,
  runtimeInfo,
  save_file,
  tensor,
  tidy,
} from 'rushlight'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const { values: args } = parseArgs({
  options: {
    epochs: { type: 'string', default: '8' },
    threads: { type: 'string' },
    checkpoint: { type: 'string', default: here('checkpoint') },
    out: { type: 'string', default: here('model') },
    minutes: { type: 'string', default: '3' }, // between checkpoints
    steps: { type: 'string' }, // in place of epochs
    stop: { type: 'string' }, // end here with a checkpoint, to go on another time
    tiny: { type: 'boolean', default: false }, // a model and a text that train in seconds, to see that it works
  },
})
if (args.threads) await init({ threads: Number(args.threads) })

// ---- the run

const B = args.tiny ? 4 : 16 // sequences a step
const T = args.tiny ? 32 : 256 // tokens a sequence
const PEAK = 2e-3 // learning rate
const WARMUP = 100
const DECAY = 0.1
const CLIP = 1
const SEED = 1616

const config = new LlamaConfig({
  vocab_size: 2048,
  hidden_size: 192,
  intermediate_size: 512,
  num_hidden_layers: args.tiny ? 1 : 6,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  max_position_embeddings: 1024,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 0,
  pad_token_id: null,
  initializer_range: 0.03,
  architectures: ['LlamaForCausalLM'],
})

// ---- data: every twentieth stretch of 10,000 characters is held out

const tokenizer = await AutoTokenizer.from_pretrained(here('.'))
const text = gunzipSync(await readFile(here('data/shakespeare.txt.gz')))
  .toString()
  .slice(0, args.tiny ? 250_000 : undefined)
const [train, held] = [[], []]
let heldCharacters = 0
for (let at = 0, block = 0; at < text.length; at += 10_000, block++) {
  const part = text.slice(at, at + 10_000)
  const ids = tokenizer.encode(part, { add_special_tokens: false })
  if (block % 20 === 19) {
    held.push(...ids)
    heldCharacters += part.length
  } else train.push(...ids)
}

// ---- model, optimizer, schedule

manual_seed(SEED)
const model = new LlamaForCausalLM(config).train()
const named = [...model.named_parameters()]
const optimizer = new AdamW(
  [
    { params: named.filter(([, p]) => p.ndim >= 2).map(([, p]) => p), weight_decay: DECAY },
    { params: named.filter(([, p]) => p.ndim < 2).map(([, p]) => p), weight_decay: 0 },
  ],
  { lr: PEAK, betas: [0.9, 0.95] },
)
const perEpoch = Math.floor(train.length / (B * T))
const steps = Number(args.steps ?? perEpoch * Number(args.epochs))
const stop = Math.min(steps, Number(args.stop ?? steps))
const rate = (step) =>
  step < WARMUP
    ? (PEAK * (step + 1)) / WARMUP
    : PEAK * (0.05 + 0.475 * (1 + Math.cos((Math.PI * (step - WARMUP)) / Math.max(1, steps - WARMUP))))

// A generator that can be asked for any step, so that a resumed run sees the batches that it would have seen.
function random(step) {
  let a = (SEED * 2654435761 + step * 40503) >>> 0
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Sequences of each epoch in random order, from a random start: (B,T) ids. */
function batch(step) {
  const epoch = Math.floor(step / perEpoch)
  const next = random(-1 - epoch)
  const shift = Math.floor(next() * T)
  const places = Array.from({ length: Math.floor((train.length - shift) / T) }, (_, i) => shift + i * T)
  for (let i = places.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    ;[places[i], places[j]] = [places[j], places[i]]
  }
  const first = (step % perEpoch) * B
  return Array.from({ length: B }, (_, b) => {
    const at = places[(first + b) % places.length]
    return train.slice(at, at + T)
  })
}

/** Bits per character of the held-out text, each token but the first of its stretch predicted from those before it. */
function validate() {
  model.eval()
  let nats = 0
  let tokens = 0
  for (let at = 0; at + 1 < held.length; at += B * T) {
    const rows = []
    for (let b = 0; b < B && at + (b + 1) * T <= held.length; b++) rows.push(held.slice(at + b * T, at + (b + 1) * T))
    if (rows.length === 0) break
    nats +=
      tidy(() => {
        const ids = tensor(rows, { dtype: 'int64' })
        return model({ input_ids: ids, labels: ids }).loss.item()
      }) *
      rows.length *
      (T - 1)
    tokens += rows.length * (T - 1)
  }
  model.train()
  const nats_per_token = nats / tokens
  return { loss: nats_per_token, bits: (nats_per_token * held.length) / heldCharacters / Math.LN2 }
}

// ---- checkpoints: written beside the old one, then renamed over it

const statePath = `${args.checkpoint}/state.json`
let state = { step: 0, seconds: 0, best: null, history: [] }
await mkdir(args.checkpoint, { recursive: true })
if (existsSync(statePath)) {
  state = JSON.parse(await readFile(statePath, 'utf8'))
  const saved = await load_file(`${args.checkpoint}/${state.file}`)
  model.load_state_dict(
    Object.fromEntries([...model.state_dict().keys()].map((name) => [name, saved[`model.${name}`]])),
  )
  optimizer.load_state_dict(unpack(saved))
  for (const t of Object.values(saved)) t.dispose()
  console.log(`resumed at step ${state.step}`)
}

function pack() {
  const tensors = Object.fromEntries([...model.state_dict()].map(([name, t]) => [`model.${name}`, t]))
  const { state: slots } = optimizer.state_dict()
  for (const [index, slot] of Object.entries(slots))
    for (const [name, value] of Object.entries(slot))
      tensors[`optimizer.${index}.${name}`] = typeof value === 'number' ? tensor([value]) : value
  return tensors
}

function unpack(saved) {
  const dict = optimizer.state_dict()
  dict.state = {}
  for (const [name, value] of Object.entries(saved)) {
    const [kind, index, slot] = name.split('.')
    if (kind !== 'optimizer') continue
    dict.state[index] ??= {}
    dict.state[index][slot] = slot === 'step' ? value.item() : value
  }
  return dict
}

async function checkpoint() {
  state.file = `step-${state.step % 2}.safetensors`
  await save_file(pack(), `${args.checkpoint}/${state.file}`)
  await writeFile(`${statePath}.new`, JSON.stringify(state))
  await rename(`${statePath}.new`, statePath)
}

async function publish() {
  await mkdir(args.out, { recursive: true })
  const weights = no_grad(() =>
    Object.fromEntries(
      [...model.state_dict()]
        .filter(([name]) => name !== 'lm_head.weight')
        .map(([name, t]) => [name, t.to('bfloat16')]),
    ),
  )
  await save_file(weights, `${args.out}/model.safetensors`)
  for (const t of Object.values(weights)) t.dispose()
  await writeFile(`${args.out}/config.json`, `${JSON.stringify({ ...config.to_dict(), dtype: 'bfloat16' }, null, 2)}\n`)
  await writeFile(
    `${args.out}/generation_config.json`,
    `${JSON.stringify({ bos_token_id: 0, eos_token_id: 0, do_sample: true, temperature: 0.8, top_k: 50 }, null, 2)}\n`,
  )
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) await copyFile(here(name), `${args.out}/${name}`)
  const { size } = await stat(`${args.out}/model.safetensors`)
  const { best } = state
  await writeFile(
    `${args.out}/README.md`,
    `---
language: en
license: apache-2.0
library_name: rushlight
pipeline_tag: text-generation
---
# A small Shakespeare

A Llama of ${(model.num_parameters() / 1e6).toFixed(2)} million parameters (${config.num_hidden_layers} layers of ${config.hidden_size}, ${config.num_attention_heads} heads over ${config.num_key_value_heads}), trained from nothing by
\`examples/train-shakespeare/train.mjs\` on the CPU, in WebAssembly. It writes lines that scan and mean nothing: it is there to show that everything works.

- Data: 42 works of Shakespeare in modern spelling, ${text.length.toLocaleString('en')} characters of public domain text
  (\`../data\`), as ${(train.length + held.length).toLocaleString('en')} tokens of a byte-level BPE of ${config.vocab_size.toLocaleString('en')}. Every twentieth stretch of 10,000 characters was held out.
- Training: ${best.step.toLocaleString('en')} steps of ${B}x${T} tokens (${(best.step / perEpoch).toFixed(1)} epochs), AdamW, learning rate ${PEAK} with a cosine decay, weight decay ${DECAY};
  ${(best.seconds / 60).toFixed(0)} minutes on ${runtimeInfo().threads} threads.
- Validation: ${best.loss.toFixed(4)} nats a token, **${best.bits.toFixed(3)} bits per character**.
- Weights: bfloat16, ${(size / 1e6).toFixed(2)} MB.
`,
  )
}

// ---- the loop

let lastCheckpoint = performance.now()
let lastLine = 0
let mark = performance.now()
let average = null
console.log(`${model.num_parameters()} parameters, ${train.length} tokens, ${perEpoch} steps an epoch, ${steps} steps`)
while (state.step < stop) {
  for (const group of optimizer.param_groups) group.lr = rate(state.step)
  const loss = tidy(() => {
    const ids = tensor(batch(state.step), { dtype: 'int64' })
    const { loss } = model({ input_ids: ids, labels: ids })
    loss.backward()
    nn.utils.clip_grad_norm_([...model.parameters()], CLIP)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()
  })
  state.step++
  if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss} at step ${state.step}`)
  average = average === null ? loss : 0.95 * average + 0.05 * loss
  const now = performance.now()
  const seconds = (now - mark) / 1000
  mark = now
  state.seconds += seconds
  if (now - lastLine > 1000 || state.step === steps) {
    lastLine = now
    const speed = (state.step * B * T) / state.seconds
    const left = ((steps - state.step) * B * T) / speed
    const line = `step ${state.step}/${steps}  loss ${average.toFixed(4)}  ${speed.toFixed(0)} tokens/s  ${(left / 60).toFixed(1)} min left  ${(memory().used / 2 ** 20).toFixed(0)} MiB`
    if (process.stdout.isTTY) process.stdout.write(`\r${line}  `)
    else if (state.step % 20 === 0 || state.step === steps) console.log(line)
  }
  if (state.step % perEpoch === 0 || state.step === steps || (state.step % 100 === 0 && state.step > steps / 2)) {
    const { loss: validation, bits } = validate()
    state.history.push({ step: state.step, train: average, validation, bits })
    console.log(
      `\nstep ${state.step}: validation ${validation.toFixed(4)} nats a token, ${bits.toFixed(4)} bits per character`,
    )
    if (state.best === null || bits < state.best.bits) {
      state.best = { step: state.step, loss: validation, bits, seconds: state.seconds }
      await publish()
    }
    mark = performance.now()
  }
  if (now - lastCheckpoint > Number(args.minutes) * 60_000 || state.step === stop) {
    await checkpoint()
    lastCheckpoint = mark = performance.now()
  }
  await new Promise((resolve) => setImmediate(resolve))
}
