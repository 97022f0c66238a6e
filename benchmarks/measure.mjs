// What every benchmark script shares: arguments, best-of-several timing, and the line that run.mjs reads.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { cacheFolder, modelPath } from '../tests/models/packages.mjs'

/** Command line that every benchmark script takes: `--threads 1 --seconds 1 --build relaxed`. */
export function options() {
  const { values } = parseArgs({
    options: {
      threads: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '1' },
      build: { type: 'string', default: 'relaxed' },
    },
  })
  return { ...values, threads: Number(values.threads), seconds: Number(values.seconds) }
}

/** Milliseconds of the fastest of the runs that fit in `seconds`, after two that warm up; at least three. */
export async function best(run, seconds) {
  await run()
  await run()
  let fastest = Infinity
  const until = performance.now() + seconds * 1000
  for (let runs = 0; runs < 3 || performance.now() < until; runs++) {
    const start = performance.now()
    await run()
    fastest = Math.min(fastest, performance.now() - start)
  }
  return fastest
}

/** Prints one figure. `unit` says which way is better: ms and MB are the better the less, all others are rates. */
export function report({ who, work, threads, value, unit }) {
  console.log(JSON.stringify({ who, work, threads, value: Number(value.toPrecision(4)), unit }))
}

/** Sizes of the square matrix products. */
export const MATMUL_SIZES = [512, 1024, 2048]
export const gflops = (n, ms) => (2 * n ** 3) / ms / 1e6

/** [batch, tokens] of the MiniLM batches. */
export const MINILM_SHAPES = [
  [1, 16],
  [1, 128],
  [32, 128],
]

/** The prompt and the answer of the SmolLM2 benchmarks, in tokens. */
export const PREFILL = 256
export const DECODE = 64

/** What a process that starts cold is asked to go on with. */
export const COLD_PROMPT = 'The secret to baking a good cake is'

/** `count` numbers in (-1, 1), the same each time. */
export function numbers(count, seed = 1) {
  const values = new Float32Array(count)
  let state = seed
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    values[i] = state / 2 ** 31
  }
  return values
}

/** The first `count` ids of the passage stored with the golden files. */
export async function prompt(count) {
  const golden = new URL('../tests/golden/real/smollm2.json', import.meta.url)
  return JSON.parse(await readFile(golden, 'utf8')).ids.slice(0, count)
}

/** The files of the real models: see `npm run models`, and peers/export_minilm.py for the last. */
export const models = {
  smollm2: modelPath('smollm2'),
  minilm: modelPath('minilm'),
  minilmOnnx: join(cacheFolder(), 'all-MiniLM-L6-v2.onnx'),
}
