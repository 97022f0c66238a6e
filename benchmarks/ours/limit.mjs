// The most that WebAssembly SIMD can do here: multiply-adds between registers, nothing loaded, nothing stored.
//   node benchmarks/ours/limit.mjs [--threads N] [--build relaxed|simd]
import { setFlagsFromString } from 'node:v8'
import { Worker } from 'node:worker_threads'
import asc from 'assemblyscript/asc'
import { options, report } from '../measure.mjs'

const { threads, seconds, build } = options()
// Node 20 has relaxed SIMD behind a flag, which workers inherit; newer ones no longer know it.
if (Number.parseInt(process.versions.v8, 10) <= 11) setFlagsFromString('--experimental-wasm-relaxed-simd')

const LANES = 4
const ACCUMULATORS = 10
const ROUNDS = 2_000_000 // a few milliseconds a call

/** acc = acc * x + y, over and over, in ten registers: a chain each, so that latency hides, and nothing that could be hoisted. */
function source() {
  const each = (line) => Array.from({ length: ACCUMULATORS }, (_, i) => line.replaceAll('#', String(i))).join('\n')
  const step = build === 'relaxed' ? 'f32x4.relaxed_madd(a#, x, y)' : 'f32x4.add(f32x4.mul(a#, x), y)'
  return `export function loop(rounds: i32, factor: f32, term: f32): f32 {
    const x = f32x4.splat(factor), y = f32x4.splat(term)
    ${each('let a# = f32x4.splat(<f32>#)')}
    for (let i = 0; i < rounds; i++) {\n${each(`a# = ${step}`)}\n}
    let sum = f32x4.splat(0)
    ${each('sum = f32x4.add(sum, a#)')}
    return f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 3)
  }`
}

async function compile() {
  let bytes
  const { error, stderr } = await asc.main(
    [
      'loop.ts',
      '--outFile',
      'loop.wasm',
      '-O3',
      '--runtime',
      'stub',
      '--enable',
      'simd,relaxed-simd',
      '--noExportMemory',
    ],
    {
      readFile: (name) => (name === 'loop.ts' ? source() : null),
      writeFile: (_, data) => (bytes = data),
      listFiles: () => [],
    },
  )
  if (error) throw new Error(`${error.message}\n${stderr}`)
  return new WebAssembly.Module(bytes)
}

/** Runs in each thread: all start together, and each measures its own best of the calls that overlap with the others'. */
const work = `(() => {
  const { workerData, parentPort } = process.getBuiltinModule('node:worker_threads')
  const { module, gate, threads, rounds, ms } = workerData
  const { loop } = new WebAssembly.Instance(module).exports
  for (let i = 0; i < 10; i++) loop(rounds, 0.999, 0.001)
  Atomics.add(gate, 0, 1)
  while (Atomics.load(gate, 0) < threads);
  let best = Infinity
  for (const end = performance.now() + ms; performance.now() < end; ) {
    const start = performance.now()
    loop(rounds, 0.999, 0.001)
    best = Math.min(best, performance.now() - start)
  }
  parentPort.postMessage(best)
})()`

const module = await compile()
const gate = new Int32Array(new SharedArrayBuffer(4))
const start = { module, gate, threads, rounds: ROUNDS, ms: seconds * 1000 }
const times = await Promise.all(
  Array.from({ length: threads }, () => {
    const worker = new Worker(work, { eval: true, workerData: start })
    return new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
  }),
)
const flops = ROUNDS * ACCUMULATORS * LANES * 2
const value = times.reduce((sum, ms) => sum + flops / ms / 1e6, 0)
report({ who: `register loop, ${build}`, work: 'limit', threads, value, unit: 'GFLOP/s' })
process.exit(0)
