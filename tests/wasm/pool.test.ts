// The pool under stress: stale chunks, traps, lost workers, more threads than cores.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { alloc, f32View, free, heapUsage, init, launch, ready, runtimeInfo, stopThreads } from '../../src/wasm/index.ts'

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
  assert.is(runtimeInfo().threads, 4)
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

test('nothing is left in the heap', () => {
  assert.is(heapUsage().used, 0)
})

test.run()
