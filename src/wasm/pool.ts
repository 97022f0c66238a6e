// The fork-join pool: one job at a time, cut into chunks that the caller and the workers claim one by one.
import workerSource from 'rushlight:worker'
import { RushlightError } from '../util/errors.ts'
import type { Allocator } from './allocator.ts'
import { builtin } from '../util/platform.ts'
import { canBlock } from './features.ts'
import type { Kernel } from './instantiate.ts'
import {
  ARGUMENTS,
  ARGUMENTS_AT,
  CALLER_WAITS,
  CHUNKS,
  CLAIM,
  CONTROL_BYTES,
  COUNT,
  DONE,
  EPOCH_SHIFT,
  FAILED,
  GRAIN,
  KERNEL,
  MAX_CHUNKS,
  READY,
  SCRATCH_BYTES,
  SLEEPERS,
  SPINS,
  STOP,
  type WorkerStart,
} from './protocol.ts'

/** Chunks that are claimed and make no progress for this long mean that their thread is lost. */
const DEADLINE_MS = 10_000

interface Thread {
  terminate(): unknown
}

export interface PoolOptions {
  names: string[]
  kernels: Kernel[]
  module: WebAssembly.Module
  /** The binary, for runtimes that cannot pass a compiled module to a worker. */
  bytes: Uint8Array<ArrayBuffer> | undefined
  memory: WebAssembly.Memory
  allocator: Allocator
  /** Threads in all, the caller's among them. */
  threads: number
  shared: boolean
  /** Cuts chunks smaller than asked for: the tests use it so that small samples have many chunks. */
  grainDivisor: number
  /** URL of a worker script, for pages whose content security policy forbids Blob workers. */
  worker?: string | URL
  /** Milliseconds without progress after which a thread is lost. */
  deadline?: number
}

export class Pool {
  /** Threads that the last job could use: 1 when it ran inline. */
  lastThreads = 1
  private words!: Int32Array<ArrayBufferLike>
  private given!: Float64Array
  private readonly scratch: number
  private readonly blocking: boolean
  private workers: Thread[] | undefined
  private epoch = 0

  constructor(private readonly options: PoolOptions) {
    this.resetControl()
    this.scratch = options.allocator.allocStatic(SCRATCH_BYTES * options.threads)
    this.blocking = options.shared && canBlock()
  }

  /** Threads that can take part now, the caller's among them. Workers count once they have started. */
  get threads(): number {
    return 1 + (this.workers ? Math.min(Atomics.load(this.words, READY), this.workers.length) : 0)
  }

  /**
   * Runs kernel number `kernel` over [0, count) in chunks of `grain`. Returns when every chunk is done; throws if one
   * trapped or a thread was lost. Chunk bounds depend on `count` and `grain` alone.
   */
  run(kernel: number, args: number[], count: number, grain: number): void {
    if (count <= 0) return
    grain = Math.max(Math.ceil(grain / this.options.grainDivisor), Math.ceil(count / MAX_CHUNKS), 1)
    const chunks = Math.ceil(count / grain)
    const fn = this.options.kernels[kernel]
    const call = [...args, this.scratch, 0, 0]
    if (chunks === 1 || this.options.threads === 1) {
      this.lastThreads = 1
      for (let begin = 0; begin < count; begin += grain)
        this.runChunk(kernel, fn, call, begin, Math.min(begin + grain, count))
      return
    }
    this.start()
    this.lastThreads = this.threads
    const { words, given } = this
    for (let i = 0; i < args.length; i++) given[i] = args[i]
    words[KERNEL] = kernel
    words[ARGUMENTS] = args.length
    words[CHUNKS] = chunks
    words[COUNT] = count
    words[GRAIN] = grain
    words[FAILED] = 0
    Atomics.store(words, DONE, 0)
    this.epoch = (this.epoch + 1) & 0xfffff
    Atomics.store(words, CLAIM, (this.epoch << EPOCH_SHIFT) | chunks)
    if (Atomics.load(words, SLEEPERS) > 0) Atomics.notify(words, CLAIM)

    let trap: unknown
    for (;;) {
      const claim = Atomics.load(words, CLAIM)
      const left = claim & MAX_CHUNKS
      if (left === 0) break
      if (Atomics.compareExchange(words, CLAIM, claim, claim - 1) !== claim) continue
      const begin = (chunks - left) * grain
      try {
        this.runChunk(kernel, fn, call, begin, Math.min(begin + grain, count))
      } catch (error) {
        trap ??= error
      }
      Atomics.add(words, DONE, 1)
    }
    this.join(kernel, chunks)
    if (trap) throw trap
    if (words[FAILED] > 0)
      throw new RushlightError(
        `${this.options.names[kernel]}: ${words[FAILED]} of ${chunks} chunks trapped in a worker`,
      )
  }

  /** Starts the workers, at the first job that is worth them. */
  start(): void {
    if (this.workers || this.options.threads === 1) return
    this.workers = []
    for (let i = 1; i < this.options.threads; i++) {
      try {
        this.workers.push(this.spawn(i))
      } catch {
        break // a worker that cannot start makes the pool smaller
      }
    }
  }

  /** Resolves when every worker has started, or after two seconds with those that have. */
  async ready(): Promise<void> {
    this.start()
    const until = Date.now() + 2000
    while (this.workers && this.threads <= this.workers.length && Date.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 1))
  }

  /** Ends the workers. The next job starts new ones. */
  stop(): void {
    if (!this.workers) return
    Atomics.store(this.words, STOP, 1)
    Atomics.notify(this.words, CLAIM)
    for (const worker of this.workers) worker.terminate()
    this.workers = undefined
    this.resetControl()
  }

  /** A fresh control buffer, which no thread of an earlier pool can see. */
  private resetControl(): void {
    const control = this.options.shared ? new SharedArrayBuffer(CONTROL_BYTES) : new ArrayBuffer(CONTROL_BYTES)
    this.words = new Int32Array(control)
    this.given = new Float64Array(control, ARGUMENTS_AT)
  }

  private runChunk(kernel: number, fn: Kernel, call: number[], begin: number, end: number): void {
    call[call.length - 2] = begin
    call[call.length - 1] = end
    try {
      fn(...call)
    } catch (error) {
      throw new RushlightError(`${this.options.names[kernel]} trapped on [${begin}, ${end})`, { cause: error })
    }
  }

  /** Waits for the chunks that workers have claimed: spins, then sleeps where that is allowed. */
  private join(kernel: number, chunks: number): void {
    const { words } = this
    let done = Atomics.load(words, DONE)
    for (let polls = 0; done < chunks && polls < SPINS; polls++) done = Atomics.load(words, DONE)
    if (done === chunks) return
    const wait = this.options.deadline ?? DEADLINE_MS
    let deadline = performance.now() + wait
    Atomics.store(words, CALLER_WAITS, 1)
    for (let before = done; ; before = done) {
      done = Atomics.load(words, DONE)
      if (done === chunks) break
      if (done !== before) deadline = performance.now() + wait
      else if (performance.now() > deadline) this.lose(kernel)
      if (this.blocking) Atomics.wait(words, DONE, done, 100)
    }
    Atomics.store(words, CALLER_WAITS, 0)
  }

  /** A worker died in the middle of a chunk: one thread from now on, and its job's memory is never used again. */
  private lose(kernel: number): never {
    this.stop()
    this.options.threads = 1
    this.options.allocator.quarantine()
    throw new RushlightError(
      `${this.options.names[kernel]}: a worker thread was lost in the middle of a job. ` +
        'Hint: results up to here stand; computing goes on with one thread',
    )
  }

  private spawn(index: number): Thread {
    const { module, bytes, memory } = this.options
    const start: WorkerStart = {
      module,
      memory,
      control: this.words.buffer as SharedArrayBuffer,
      scratch: this.scratch + index * SCRATCH_BYTES,
    }
    const nodeThreads = builtin('node:worker_threads')
    if (nodeThreads) {
      const boot = (data: WorkerStart) =>
        new nodeThreads.Worker(workerSource, { eval: true, workerData: data, stdout: false, stderr: false })
      let worker: InstanceType<typeof nodeThreads.Worker>
      try {
        worker = boot(start)
      } catch (error) {
        if (!bytes) throw error
        worker = boot({ ...start, module: bytes }) // this runtime cannot clone a module
      }
      worker.unref()
      worker.on('error', () => this.forget(worker))
      worker.on('exit', () => this.forget(worker))
      return worker
    }
    const url = this.options.worker ?? URL.createObjectURL(new Blob([workerSource], { type: 'text/javascript' }))
    const worker = new Worker(url)
    worker.onerror = () => this.forget(worker)
    worker.postMessage(start)
    return worker
  }

  private forget(worker: Thread): void {
    const at = this.workers?.indexOf(worker) ?? -1
    if (at >= 0) this.workers?.splice(at, 1)
  }
}
