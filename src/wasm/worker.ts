// A thread of the pool: claims chunks of the current job and runs them, spins briefly when there are none, then sleeps.
import {
  ARGUMENTS,
  ARGUMENTS_AT,
  CALLER_WAITS,
  CHUNKS,
  CLAIM,
  COUNT,
  DONE,
  FAILED,
  GRAIN,
  KERNEL,
  MAX_CHUNKS,
  READY,
  SLEEPERS,
  SPINS,
  STOP,
  type WorkerStart,
} from './protocol.ts'

function work({ module, memory, control, scratch }: WorkerStart): void {
  const compiled = module instanceof WebAssembly.Module ? module : new WebAssembly.Module(module)
  const instance = new WebAssembly.Instance(compiled, { env: { memory } })
  const kernels = WebAssembly.Module.exports(compiled)
    .filter((e) => e.kind === 'function')
    .map((e) => instance.exports[e.name] as (...args: number[]) => void)
  const words = new Int32Array(control)
  const given = new Float64Array(control, ARGUMENTS_AT)
  let polls = 0
  Atomics.add(words, READY, 1)

  while (Atomics.load(words, STOP) === 0) {
    const claim = Atomics.load(words, CLAIM)
    const left = claim & MAX_CHUNKS
    if (left === 0) {
      if (++polls < SPINS) continue
      polls = 0
      Atomics.add(words, SLEEPERS, 1)
      Atomics.wait(words, CLAIM, claim)
      Atomics.sub(words, SLEEPERS, 1)
      continue
    }
    if (Atomics.compareExchange(words, CLAIM, claim, claim - 1) !== claim) continue
    polls = 0
    try {
      const begin = (words[CHUNKS] - left) * words[GRAIN]
      const args: number[] = []
      for (let i = 0; i < words[ARGUMENTS]; i++) args.push(given[i])
      args.push(scratch, begin, Math.min(begin + words[GRAIN], words[COUNT]))
      kernels[words[KERNEL]](...args)
    } catch {
      Atomics.add(words, FAILED, 1)
    }
    Atomics.add(words, DONE, 1)
    if (Atomics.load(words, CALLER_WAITS) !== 0) Atomics.notify(words, DONE)
  }
}

// Node, Deno and Bun hand the start over as workerData; a browser's worker gets it as its first message.
const threads = typeof process === 'undefined' ? undefined : process.getBuiltinModule?.('node:worker_threads')
if (threads?.workerData) work(threads.workerData as WorkerStart)
else globalThis.onmessage = (event: MessageEvent<WorkerStart>) => work(event.data)
