// node-llama-cpp from before the import to the first token of SmolLM2's GGUF file, in a process that has done nothing else.
//   node benchmarks/peers/llama-cpp-cold.mjs [--threads N]
import { COLD_PROMPT, models, options, report } from '../measure.mjs'

const { threads } = options()
const start = performance.now()
const { getLlama, LlamaLogLevel } = await import('node-llama-cpp')
const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: 0 })
const model = await llama.loadModel({ modelPath: models.smollm2 })
const context = await model.createContext({ contextSize: 512, threads: { ideal: threads, min: threads } })
for await (const token of context.getSequence().evaluate(model.tokenize(COLD_PROMPT), { temperature: 0 })) {
  model.detokenize([token])
  break
}
report({ who: 'node-llama-cpp', work: 'cold load', threads, value: performance.now() - start, unit: 'ms' })
process.exit(0)
