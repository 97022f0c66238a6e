// node-llama-cpp (native llama.cpp) on SmolLM2: prompt processing and greedy decoding.
//   node benchmarks/peers/llama-cpp.mjs [--threads N] [--seconds 1]
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'
import { best, DECODE, models, options, PREFILL, prompt, report } from '../measure.mjs'

const { threads, seconds } = options()
const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: 0 })
const model = await llama.loadModel({ modelPath: models.smollm2 })
const ids = await prompt(PREFILL)

const context = await model.createContext({
  contextSize: 512,
  batchSize: 512,
  threads: { ideal: threads, min: threads },
})
const sequence = context.getSequence()
const prefill = await best(async () => {
  await sequence.clearHistory()
  await sequence.evaluateWithoutGeneratingNewTokens(ids)
}, seconds)
report({ who: 'node-llama-cpp', work: 'prefill', threads, value: (PREFILL / prefill) * 1000, unit: 'tok/s' })

let fastest = Infinity
const until = performance.now() + seconds * 1000
for (let runs = 0; runs < 3 || performance.now() < until; runs++) {
  await sequence.clearHistory()
  let tokens = 0
  let start = 0
  for await (const _ of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    if (tokens++ === 0) start = performance.now() // the first token belongs to the prompt
    if (tokens > DECODE) break
  }
  if (tokens <= DECODE) throw new Error(`llama.cpp stopped after ${tokens} tokens`)
  fastest = Math.min(fastest, performance.now() - start)
}
report({ who: 'node-llama-cpp', work: 'decode', threads, value: (DECODE / fastest) * 1000, unit: 'tok/s' })
process.exit(0)
