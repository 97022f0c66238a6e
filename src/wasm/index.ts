// The runtime under everything: one memory, one set of kernels, one pool, made at first use.
import { checkOptions, RushlightError } from '../util/errors.ts'
import { Allocator, OutOfMemoryError } from './allocator.ts'
import { environment } from '../util/platform.ts'
import { defaultThreads, hasRelaxedSimd, hasSharedMemory, hasSimd } from './features.ts'
import {
  binary,
  type Build,
  createMemory,
  type Kernel,
  instantiate,
  kernelNames,
  withMemoryForm,
} from './instantiate.ts'
import type { KernelArgs } from './kernels.generated.ts'
import { Pool } from './pool.ts'

export type { KernelArgs } from './kernels.generated.ts'
export { builtin, environment } from '../util/platform.ts'
export { OutOfMemoryError }

export type KernelName = keyof KernelArgs

/** How `init` sets the core up. Everything has a default; calling `init` is never needed. */
export interface InitOptions {
  /** Threads in all, the calling one among them. Default: RUSHLIGHT_THREADS, else every core. */
  threads?: number
  /** A compiled module of one of the binaries, where compiling from bytes is forbidden. */
  module?: WebAssembly.Module
  /** Which inlined build, or the bytes of one. Default: RUSHLIGHT_WASM, else 'relaxed' where the runtime has it. */
  wasm?: Build | Uint8Array
  /** URL of the worker script, for pages whose content security policy forbids Blob workers. */
  worker?: string | URL
}

interface Runtime {
  build: Build | 'given'
  memory: WebAssembly.Memory
  /** Bytes that the heap can grow to. */
  limit: number
  allocator: Allocator
  pool: Pool
  kernelAt: Map<string, number>
}

let options: InitOptions = {}
let runtime: Runtime | undefined

function threadsWanted(): number {
  const given = options.threads ?? environment('RUSHLIGHT_THREADS')
  if (given === undefined) return Math.min(defaultThreads(), 64)
  const threads = Number(given)
  if (!Number.isInteger(threads) || threads < 1 || threads > 64)
    throw new RushlightError(
      `threads: expected a whole number from 1 to 64, found ${given}. Hint: init({ threads }) or RUSHLIGHT_THREADS`,
    )
  return threads
}

function buildWanted(): Build {
  const given = options.wasm ?? environment('RUSHLIGHT_WASM')
  if (given === undefined) return hasRelaxedSimd() ? 'relaxed' : 'simd'
  if (given === 'simd') return given
  if (given !== 'relaxed')
    throw new RushlightError(`wasm: expected 'simd', 'relaxed' or the bytes of a binary, found ${given}`)
  if (!hasRelaxedSimd())
    throw new RushlightError("wasm: this runtime has no relaxed SIMD. Hint: wasm: 'simd', or leave it out")
  return given
}

function create(): Runtime {
  if (!hasSimd())
    throw new RushlightError('This runtime has no WebAssembly SIMD. Hint: Node 20.16, or a browser of 2023 or later')
  const threads = threadsWanted()
  const shared = threads > 1 && hasSharedMemory()
  const { memory, maximum } = createMemory(shared)
  let build: Build | 'given' = 'given'
  let bytes: Uint8Array<ArrayBuffer> | undefined
  let module = options.module
  if (!module) {
    if (options.wasm instanceof Uint8Array) bytes = withMemoryForm(new Uint8Array(options.wasm), shared)
    else {
      build = buildWanted()
      bytes = withMemoryForm(binary(build), shared)
    }
    module = new WebAssembly.Module(bytes)
  }
  const instance = instantiate(module, memory)
  const names = kernelNames(module)
  const kernels = names.map((name) => instance.exports[name] as Kernel)
  ;(instance.exports.write_constants as Kernel)(0, 0, 1) // below the heap; kernels read them there
  // The tests move the heap's base up to 3 GiB, to find pointers that were taken for signed numbers.
  const base = Number(environment('RUSHLIGHT_HEAP_BASE') ?? 1024)
  if (base > memory.buffer.byteLength) memory.grow(Math.ceil((base - memory.buffer.byteLength) / 65536))
  const allocator = new Allocator(memory, base)
  const pool = new Pool({
    names,
    kernels,
    module,
    bytes,
    memory,
    allocator,
    threads: shared ? threads : 1,
    shared,
    grainDivisor: Number(environment('RUSHLIGHT_GRAIN_DIVISOR') ?? 1),
    worker: options.worker,
  })
  return { build, memory, limit: maximum - base, allocator, pool, kernelAt: new Map(names.map((name, i) => [name, i])) }
}

function current(): Runtime {
  return (runtime ??= create())
}

/**
 * Sets the core up by hand: number of threads, binary, worker script. Never needed; without it everything starts at the first use.
 * Resolves when the workers have started. May be called again only while no tensor is alive.
 * @throws RushlightError for an option that is out of range, unknown or not to be had here
 */
export async function init(given: InitOptions = {}): Promise<void> {
  checkOptions('init', given, ['threads', 'module', 'wasm', 'worker'])
  if (runtime && Object.keys(given).length > 0) {
    if (!runtime.allocator.empty)
      throw new RushlightError(
        'init: tensors are alive already. Hint: call init before the first tensor, or dispose of them',
      )
    runtime.pool.stop()
    runtime = undefined
  }
  const before = options
  const { module, ...rest } = options
  options = { ...(given.wasm ? rest : options), ...given } // a binary takes the place of a module
  try {
    await current().pool.ready()
  } catch (error) {
    options = before
    throw error
  }
}

/** Resolves when the workers have started: every asynchronous entry point awaits it, since a busy page boots none. */
export function ready(): Promise<void> {
  return current().pool.ready()
}

/** Ends the workers; the next parallel operation starts new ones. */
export function stopThreads(): void {
  runtime?.pool.stop()
}

/**
 * Runs `kernel` over [0, count) in chunks of `grain`, on all threads when there are two chunks or more.
 * Choose `grain` so that a chunk takes 20 to 500 µs.
 * @throws RushlightError when a chunk traps or a worker is lost
 */
export function launch<K extends KernelName>(kernel: K, args: KernelArgs[K], count: number, grain: number): void {
  const { pool, kernelAt } = current()
  const at = kernelAt.get(kernel)
  if (at === undefined)
    throw new RushlightError(
      `The WASM binary has no kernel ${kernel}. Hint: it comes from another build than this package`,
    )
  pool.run(at, args, count, grain)
}

/** Heap memory, 64-byte aligned, not cleared. `label` is named when memory runs out. */
export function alloc(bytes: number, label?: string): number {
  return current().allocator.alloc(bytes, label)
}

/** Gives heap memory back. */
export function free(ptr: number): void {
  current().allocator.free(ptr)
}

/** Calls `fn` with a temporary buffer, which is freed whatever happens. */
export function withTemp<R>(bytes: number, fn: (ptr: number) => R, label = 'temporary'): R {
  const ptr = alloc(bytes, label)
  try {
    return fn(ptr)
  } finally {
    free(ptr)
  }
}

// Views are made afresh each time, since memory.grow detaches or outdates old ones. None outlives the next allocation.
const heap = (): ArrayBuffer => current().memory.buffer
/** `n` elements at `ptr` as a typed array over the heap, valid until the next allocation. */
export const f32View = (ptr: number, n: number) => new Float32Array(heap(), ptr, n)
export const u8View = (ptr: number, n: number) => new Uint8Array(heap(), ptr, n)
export const i8View = (ptr: number, n: number) => new Int8Array(heap(), ptr, n)
export const u16View = (ptr: number, n: number) => new Uint16Array(heap(), ptr, n)
export const i32View = (ptr: number, n: number) => new Int32Array(heap(), ptr, n)
export const i64View = (ptr: number, n: number) => new BigInt64Array(heap(), ptr, n)

/** What the heap holds, in bytes: asked for and not freed, the most so far, and memory behind it. */
export function heapUsage(): { used: number; peak: number; reserved: number; limit: number } {
  const { allocator, limit } = current()
  const { used, peak, reserved } = allocator
  return { used, peak, reserved, limit }
}

/**
 * Refuses early what cannot fit, so that nothing is downloaded or read for nothing.
 * @throws OutOfMemoryError when `bytes` more are beyond what the heap can ever hold
 */
export function checkRoom(bytes: number, what: string): void {
  const { used, limit } = heapUsage()
  if (used + bytes <= limit) return
  const gib = (n: number) => `${(n / 2 ** 30).toFixed(2)} GiB`
  throw new OutOfMemoryError(
    `Out of memory: ${what} needs ${gib(bytes)}, ${gib(limit - used)} of the heap's ${gib(limit)} are free. Hint: a smaller dtype ('bfloat16', 'q8', 'q4'), or dispose() of other models`,
  )
}

/** Starts a new measurement of the peak. */
export function resetPeak(): void {
  current().allocator.resetPeak()
}

/** Which build runs, with how many threads at most and at the last launch. */
export function runtimeInfo(): { build: string; threads: number; lastThreads: number } {
  const { build, pool } = current()
  return { build, threads: pool.threads, lastThreads: pool.lastThreads }
}

/** Live bytes by label, largest first: for leak hunting. */
export function liveByLabel(): [label: string, bytes: number, blocks: number][] {
  return current().allocator.liveByLabel()
}
