// The pool under stress: stale chunks, traps, lost workers, more threads than cores.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Allocator } from '../../src/wasm/allocator.ts'
import { alloc, f32View, free, heapUsage, init, launch, ready, stopThreads } from '../../src/wasm/index.ts'
import {
  binary,
  createMemory,
  instantiate,
  type Kernel,
  kernelNames,
  withMemoryForm,
} from '../../src/wasm/instantiate.ts'
import { Pool, type PoolOptions } from '../../src/wasm/pool.ts'
import { CLAIM, MAX_CHUNKS } from '../../src/wasm/protocol.ts'
import { started } from './started.ts'

// Chunks of one element, so that a claim costs more than its work: the worst case for the claim word.
function fillJobs(jobs: number): void {
  const width = 24
  const ptr = alloc(width * 4)
  let wrong = 0
  for (let job = 0; job < jobs; job++) {
    const count = 2 + (job % (width - 2))
    launch('fill_f32', [ptr, job], count, 1)
    const view = f32View(ptr, count)
    for (let i = 0; i < count; i++) if (view[i] !== job) wrong++
  }
  free(ptr)
  assert.is(wrong, 0)
}

test('millions of small jobs on more threads than cores run no stale chunk', async () => {
  await init({ threads: 4 })
  await started(4)
  fillJobs(Number(process.env.RUSHLIGHT_STRESS ?? 2_000_000))
})

test('jobs while workers are still starting are right', async () => {
  stopThreads()
  fillJobs(20_000)
  await ready()
  fillJobs(20_000)
})

test('a trap in any thread is an error of the job, and the pool goes on', () => {
  // Far outside the memory: every chunk traps.
  assert.throws(() => launch('fill_f32', [3 * 2 ** 30, 1], 10_000, 100), /fill_f32/)
  fillJobs(1000)
})

test('chunks cover the range once, whatever the grain', () => {
  for (const [count, grain] of [
    [1, 1],
    [7, 3],
    [4095, 1],
    [4096, 1],
    [100_000, 7],
    [3, 100],
  ]) {
    const ptr = alloc(count * 4 + 4)
    f32View(ptr, count + 1).fill(-1)
    launch('fill_f32', [ptr, 5], count, grain)
    const view = f32View(ptr, count + 1)
    assert.is(
      view.subarray(0, count).every((x) => x === 5),
      true,
    )
    assert.is(view[count], -1)
    free(ptr)
  }
})

/** A pool of its own, with what it runs on. Kernels are the caller's; workers run those of the binary. */
function poolOf(
  threads: number,
  more: Partial<PoolOptions> = {},
): { pool: Pool; allocator: Allocator; kernel: (name: string) => number } {
  const bytes = withMemoryForm(binary('simd'), true)
  const module = new WebAssembly.Module(bytes)
  const memory = createMemory(true).memory
  const { exports } = instantiate(module, memory)
  const names = kernelNames(module)
  const kernels = names.map((name) => exports[name] as Kernel)
  const allocator = new Allocator(memory, 4096)
  const pool = new Pool({
    names,
    kernels,
    module,
    bytes,
    memory,
    allocator,
    threads,
    shared: true,
    grainDivisor: 1,
    ...more,
  })
  return { pool, allocator, kernel: (name) => names.indexOf(name) }
}

/** The pool's own parts, which only a test may touch. */
const insides = (pool: Pool) =>
  pool as unknown as { words: Int32Array; workers: { terminate(): unknown }[]; options: PoolOptions }

test('a worker lost in the middle of a chunk: an error, then one thread, and its memory is never used again', async () => {
  const { pool, allocator, kernel } = poolOf(2, { deadline: 100 })
  await started(2, pool)
  // Two chunks of seconds each, over one row of B read again and again. The caller's own chunk waits until the worker
  // has claimed the other, then ends the worker.
  const [groups, k] = [40_000, 1 << 18]
  const [a, b, c] = [k * 4, k * 4, groups * 16].map((bytes) => allocator.alloc(bytes, 'operand'))
  const { words, workers, options } = insides(pool)
  const dots = kernel('dots_f32')
  const real = options.kernels[dots]
  options.kernels[dots] = () => {
    while ((Atomics.load(words, CLAIM) & MAX_CHUNKS) > 0);
    for (const worker of workers) worker.terminate()
  }
  const run = () => pool.run(dots, [a, b, c, 1, groups * 4, k, 0, 0, groups * 4, 0, 0], groups, groups / 2)
  assert.throws(
    run,
    /dots_f32: a worker thread was lost in the middle of a job\. Hint: .*computing goes on with one thread/,
  )
  options.kernels[dots] = real

  assert.is(pool.threads, 1)
  for (const ptr of [a, b, c]) allocator.free(ptr)
  for (let i = 0; i < 10; i++) {
    const ptr = allocator.alloc(groups * 16)
    assert.ok(ptr + groups * 16 <= c || ptr >= c + groups * 16)
    pool.run(kernel('fill_f32'), [ptr, i], 1000, 10)
    const view = new Float32Array(options.memory.buffer, ptr, 1000)
    assert.ok(view.every((x) => x === i))
    assert.is(pool.lastThreads, 1)
  }
  await new Promise((resolve) => setTimeout(resolve, 0))
  assert.is(pool.threads, 1, 'after its exit was told too')
})

test('workers that cannot start make the pool smaller', async () => {
  const broken = withMemoryForm(binary('simd'), false) // does not go with shared memory
  const { pool, allocator, kernel } = poolOf(3, { module: new WebAssembly.Module(broken) })
  await pool.ready()
  assert.is(pool.threads, 1)
  const ptr = allocator.alloc(4000)
  pool.run(kernel('fill_f32'), [ptr, 3], 1000, 10)
  assert.ok(new Float32Array(insides(pool).options.memory.buffer, ptr, 1000).every((x) => x === 3))
  pool.stop()
})

test('a pool that was stopped starts again', async () => {
  const { pool, allocator, kernel } = poolOf(2)
  const ptr = allocator.alloc(4000)
  for (let i = 0; i < 3; i++) {
    await started(2, pool)
    pool.run(kernel('fill_f32'), [ptr, i], 1000, 10)
    assert.is(pool.lastThreads, 2)
    assert.ok(new Float32Array(insides(pool).options.memory.buffer, ptr, 1000).every((x) => x === i))
    pool.stop()
    assert.is(pool.threads, 1)
  }
})

test('nothing is left in the heap', () => {
  assert.is(heapUsage().used, 0)
})

test.run()
