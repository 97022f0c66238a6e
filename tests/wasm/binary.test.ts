// The binaries: what must not be in them, and the byte that tells their two forms apart.
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hasRelaxedSimd } from '../../src/wasm/features.ts'
import {
  type Build,
  binary,
  createMemory,
  instantiate,
  kernelNames,
  withMemoryForm,
} from '../../src/wasm/instantiate.ts'

const IMPORT = 2
const GLOBAL = 6
const START = 8
const ELEMENT = 9
const DATA = 11

/** Contents of each section by its id. */
function sections(bytes: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>()
  for (let at = 8; at < bytes.length; ) {
    const id = bytes[at++]
    let size = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      size |= (byte & 127) << shift
      if (byte < 128) break
    }
    found.set(id, bytes.subarray(at, at + size))
    at += size
  }
  return found
}

for (const build of ['simd', 'relaxed'] as Build[]) {
  test(`${build}: no globals, no data, no start function, nothing imported but memory`, () => {
    const bytes = binary(build)
    assert.equal([...bytes.subarray(0, 8)], [0, 97, 115, 109, 1, 0, 0, 0])
    const found = sections(bytes)
    assert.ok(found.has(IMPORT) && found.size >= 5, 'the sections were read')
    for (const id of [GLOBAL, START, ELEMENT, DATA]) assert.not(found.has(id), `section ${id}`)
    assert.is((found.get(IMPORT) as Uint8Array)[0], 1, 'one import')
  })

  test(`${build}: the shared form differs from the unshared in one byte`, () => {
    const shared = withMemoryForm(binary(build), true)
    const unshared = withMemoryForm(binary(build), false)
    assert.equal(
      [...shared].filter((byte, i) => byte !== unshared[i]),
      [3],
    )
    assert.equal(
      [...unshared].filter((byte, i) => byte !== shared[i]),
      [1],
    )
    if (build === 'relaxed' && !hasRelaxedSimd()) return
    for (const [bytes, isShared] of [
      [shared, true],
      [unshared, false],
    ] as const) {
      const module = new WebAssembly.Module(bytes)
      instantiate(module, createMemory(isShared).memory)
      assert.throws(
        () => instantiate(module, createMemory(!isShared).memory),
        /module: it cannot be used with (un)?shared memory\. Hint: .*threads: 1/,
      )
    }
  })
}

test('both builds have the same kernels, in the same order', () => {
  if (!hasRelaxedSimd()) return console.log('SKIP both builds: no relaxed SIMD in this runtime')
  const [simd, relaxed] = (['simd', 'relaxed'] as const).map((build) =>
    kernelNames(new WebAssembly.Module(binary(build))),
  )
  assert.ok(simd.length > 100)
  assert.equal(simd, relaxed)
})

test('every function that is exported is a kernel of the table', () => {
  const table = readFileSync('src/wasm/kernels.generated.ts', 'utf8')
  const names = kernelNames(new WebAssembly.Module(binary('simd')))
  assert.equal(
    names.filter((name) => !table.includes(`\n  ${name}: [`)),
    [],
  )
})

test('a binary of another make is refused', () => {
  assert.throws(
    () => withMemoryForm(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]), true),
    /does not import env\.memory with a maximum/,
  )
})

test('what is inlined is what was built', () => {
  for (const build of ['simd', 'relaxed'] as Build[]) {
    assert.ok(existsSync(`build/${build}.wasm`))
    assert.ok(Buffer.from(binary(build)).equals(readFileSync(`build/${build}.wasm`)))
  }
})

test.run()
