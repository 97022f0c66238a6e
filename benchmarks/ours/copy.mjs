// What a copy of 16 MiB reaches: the runtime's own, on all threads at once.      node benchmarks/ours/copy.mjs [--threads N] [--seconds 1]
import { Worker } from 'node:worker_threads'
import { options, report } from '../measure.mjs'

const { threads, seconds } = options()
const BYTES = 16 << 20

const work = `(() => {
  const { workerData, parentPort } = process.getBuiltinModule('node:worker_threads')
  const { gate, threads, bytes, ms } = workerData
  const [from, to] = [0, 1].map(() => new Uint8Array(bytes / threads).fill(1))
  Atomics.add(gate, 0, 1)
  while (Atomics.load(gate, 0) < threads);
  let best = Infinity
  for (const end = performance.now() + ms; performance.now() < end; ) {
    const start = performance.now()
    for (let i = 0; i < threads; i++) to.set(from)
    best = Math.min(best, (performance.now() - start) / threads)
  }
  parentPort.postMessage(best)
})()`

const gate = new Int32Array(new SharedArrayBuffer(4))
const times = await Promise.all(
  Array.from({ length: threads }, () => {
    const worker = new Worker(work, { eval: true, workerData: { gate, threads, bytes: BYTES, ms: seconds * 1000 } })
    return new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
  }),
)
const value = times.reduce((sum, ms) => sum + (2 * BYTES) / threads / ms / 1e6, 0)
report({ who: 'memory copy', work: 'copy', threads, value, unit: 'GB/s' })
process.exit(0)
