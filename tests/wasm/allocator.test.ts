// The allocator against a model: random blocks that must not touch, and accounts that must be right.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Allocator, OutOfMemoryError } from '../../src/wasm/allocator.ts'

const PAGE = 65536

/** The part of a memory that the allocator sees: nothing is behind it, so that 4 GiB cost nothing. */
function fakeMemory(base: number, most = 65536): WebAssembly.Memory {
  const buffer = { byteLength: Math.ceil(base / PAGE) * PAGE }
  const grow = (pages: number) => {
    if (buffer.byteLength / PAGE + pages > most) throw new RangeError('maximum')
    buffer.byteLength += pages * PAGE
  }
  return { buffer, grow } as unknown as WebAssembly.Memory
}

/** xorshift32, in [0, 1). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

for (const base of [1024, 3 * 2 ** 30])
  test(`random blocks from ${base} on: aligned, apart, inside, accounted for`, () => {
    const memory = fakeMemory(base)
    const allocator = new Allocator(memory, base)
    const next = random(7)
    const live: { ptr: number; bytes: number }[] = []
    let [used, peak] = [0, 0]
    for (let step = 0; step < 30_000; step++) {
      // In waves, so that there are times of few and of many blocks.
      const wanted = 150 + 150 * Math.sin(step / 1000)
      if (live.length === 0 || next() * 300 < wanted) {
        const bytes = Math.floor(next() < 0.1 ? 0 : 2 ** (next() * 21))
        const ptr = allocator.alloc(bytes, 'block')
        const end = ptr + Math.max(bytes, 1)
        if (ptr % 64 !== 0 || ptr < base || end > memory.buffer.byteLength) assert.unreachable(`block at ${ptr}`)
        for (const other of live)
          if (ptr < other.ptr + Math.max(other.bytes, 1) && other.ptr < end)
            assert.unreachable(`${ptr} and ${other.ptr} overlap`)
        live.push({ ptr, bytes })
        used += bytes
        peak = Math.max(peak, used)
      } else {
        const [block] = live.splice(Math.floor(next() * live.length), 1)
        allocator.free(block.ptr)
        used -= block.bytes
      }
      if (allocator.used !== used || allocator.peak !== peak) assert.unreachable(`accounts at step ${step}`)
    }
    assert.equal(allocator.liveByLabel(), [['block', used, live.length]])
    for (const { ptr } of live) allocator.free(ptr)
    assert.is(allocator.used, 0)
    assert.ok(allocator.empty)
    allocator.resetPeak()
    assert.is(allocator.peak, 0)
    // Little is lost to fragments: twice what was live at most, and slabs of the small sizes.
    assert.ok(allocator.reserved < 2 * peak + 2 ** 24, `${allocator.reserved} bytes for ${peak}`)
  })

test('large blocks given back in any order are one block again', () => {
  const allocator = new Allocator(fakeMemory(1024), 1024)
  const next = random(3)
  for (let round = 0; round < 20; round++) {
    const blocks = Array.from({ length: 50 }, () => allocator.alloc(40_000 + Math.floor(next() * 1e6)))
    while (blocks.length) allocator.free(blocks.splice(Math.floor(next() * blocks.length), 1)[0])
    const { reserved } = allocator
    const all = allocator.alloc(reserved - 64)
    assert.is(allocator.reserved, reserved, 'all of it in one piece')
    allocator.free(all)
  }
})

test('small blocks are reused before memory grows', () => {
  const allocator = new Allocator(fakeMemory(1024), 1024)
  for (const bytes of [1, 64, 65, 1000, 32768]) {
    const first = Array.from({ length: 500 }, () => allocator.alloc(bytes))
    const { reserved } = allocator
    for (let round = 0; round < 3; round++) {
      for (const ptr of first) allocator.free(ptr)
      const again = first.map(() => allocator.alloc(bytes))
      assert.is(new Set(again).size, 500)
      first.splice(0, 500, ...again)
    }
    assert.is(allocator.reserved, reserved)
    for (const ptr of first) allocator.free(ptr)
  }
})

test('freeing what is no live block is an error', () => {
  const allocator = new Allocator(fakeMemory(1024), 1024)
  const ptr = allocator.alloc(100)
  assert.throws(() => allocator.free(ptr + 64), /free\(\d+\): not a live block of the heap/)
  allocator.free(ptr)
  assert.throws(() => allocator.free(ptr), /not a live block/)
})

test('the whole 4 GiB can be used, and its last 64 bytes are not', () => {
  const base = 3 * 2 ** 30
  const allocator = new Allocator(fakeMemory(base), base)
  let [end, blocks] = [0, 0]
  const fill = () => {
    for (;;) {
      const ptr = allocator.alloc(2 ** 26)
      blocks++
      end = Math.max(end, ptr + 2 ** 26)
    }
  }
  assert.throws(
    fill,
    (error: Error) =>
      error instanceof OutOfMemoryError &&
      /buffer needs 64\.0 MiB, 960\.0 MiB are in use \(buffer 960\.0 MiB in 15\)/.test(error.message),
  )
  assert.is(blocks, 15)
  assert.ok(end <= 2 ** 32 - 64)
  // What is left is there for smaller ones, and every end is a 32-bit number.
  for (;;) {
    try {
      const ptr = allocator.alloc(2 ** 20)
      assert.ok(ptr + 2 ** 20 <= 2 ** 32 - 64)
      blocks++
    } catch {
      break
    }
  }
  assert.is(blocks, 15 + 63)
  for (const bytes of [Number.NaN, -1, 2 ** 33]) assert.throws(() => allocator.alloc(bytes), /Out of memory/)
})

test('what was live at a quarantine is never given out again', () => {
  const allocator = new Allocator(fakeMemory(1024), 1024)
  const sizes = [100, 30_000, 100_000, 1_000_000]
  const lost = sizes.map((bytes) => ({ ptr: allocator.alloc(bytes), bytes }))
  allocator.quarantine()
  for (const { ptr } of lost) allocator.free(ptr)
  assert.is(allocator.used, 0)
  for (let i = 0; i < 300; i++)
    for (const bytes of sizes) {
      const ptr = allocator.alloc(bytes)
      for (const other of lost)
        if (ptr < other.ptr + other.bytes && other.ptr < ptr + bytes) assert.unreachable(`${ptr} was lost`)
    }
})

test.run()
