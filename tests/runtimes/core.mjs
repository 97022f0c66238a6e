// The core of the demo in whatever runtime runs this file: load a model, generate, ten training steps, on two threads.
// Prints one line of JSON, which runtimes.test.ts compares with PyTorch's figures.
const { AdamW, AutoModelForCausalLM, init, tensor, tidy } = await import('../../dist/index.js')

const { readFileSync } = process.getBuiltinModule('node:fs')
const folder = new URL('../golden/models/llama-mha/', import.meta.url)
const golden = JSON.parse(readFileSync(new URL('golden.json', folder), 'utf8'))
await init({ threads: 2 })

const model = await AutoModelForCausalLM.from_pretrained(decodeURIComponent(folder.pathname))
const generated = []
for (const { name: _, options, sequences: __, ...inputs } of golden.generate)
  generated.push((await model.generate({ ...inputs, ...options })).tolist())

model.train()
const { name: _, ...hyperparameters } = golden.train.optimizer
const optimizer = new AdamW(model.parameters(), hyperparameters)
const { loss: __, ...batch } = golden.batches[golden.train.batch]
const losses = []
for (let step = 0; step < 10; step++)
  tidy(() => {
    optimizer.zero_grad()
    const { loss } = model(batch)
    loss.backward()
    optimizer.step()
    losses.push(loss.item())
  })

// Large enough for many chunks on both threads; small whole numbers, so the sum is exact.
const n = 384
const ones = tensor(new Float32Array(n * n).fill(1), { shape: [n, n] })
const total = tidy(() => ones.matmul(ones).add(ones).sum().item())

console.log(JSON.stringify({ generated, losses, total, expected: n * n * (n + 1) }))
