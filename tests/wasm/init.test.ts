// Setting up: options of init, the environment, and processes that end by themselves. The processes are this file, run with an argument.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ones, tensor } from '../../src/ops/creation.ts'
import '../../src/ops/index.ts'
import { memory } from '../../src/runtime.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { hasRelaxedSimd } from '../../src/wasm/features.ts'
import { alloc, free, init, runtimeInfo } from '../../src/wasm/index.ts'
import { binary, withMemoryForm } from '../../src/wasm/instantiate.ts'
import { started } from './started.ts'

/** What a process of its own does. */
const programs: Record<string, () => Promise<void> | void> = {
  async idle() {
    await init()
    if (process.env.RUSHLIGHT_THREADS) await started(Number(process.env.RUSHLIGHT_THREADS))
    const sum = tidy(() =>
      ones([1 << 20])
        .mul(2)
        .sum()
        .item(),
    )
    console.log(JSON.stringify({ sum, ...runtimeInfo() }))
  },
  debug() {
    tensor([[1, 2]])
      .matmul(tensor([[3], [4]]))
      .relu()
  },
}

/** Runs a program in a process; it must end by itself, without an error. */
function runProgram(name: string, env: Record<string, string>): { out: string; err: string } {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), name], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 60_000,
  })
  assert.is(signal, null, 'it did not end by itself')
  assert.is(status, 0, stderr)
  return { out: stdout, err: stderr }
}

test('a process with idle workers ends by itself; RUSHLIGHT_THREADS says how many', () => {
  for (const threads of [1, 3]) {
    const { out } = runProgram('idle', { RUSHLIGHT_THREADS: String(threads) })
    const { sum, ...info } = JSON.parse(out)
    assert.is(sum, 2 ** 21)
    assert.is(info.threads, threads)
  }
})

test('RUSHLIGHT_WASM says which build', () => {
  assert.is(JSON.parse(runProgram('idle', { RUSHLIGHT_WASM: 'simd' }).out).build, 'simd')
})

test('RUSHLIGHT_DEBUG=1 prints a line an op: name, shapes, milliseconds, threads', () => {
  const { err } = runProgram('debug', { RUSHLIGHT_DEBUG: '1' })
  const lines = err.trim().split('\n')
  assert.ok(
    lines.some((line) => /^matmul \[1, 2\] \[2, 1\] \d+\.\d{3} ms, \d+ threads?$/.test(line)),
    err,
  )
  assert.ok(
    lines.some((line) => /^relu \[1, 1\] \d+\.\d{3} ms, \d+ threads?$/.test(line)),
    err,
  )
  assert.is(runProgram('debug', { RUSHLIGHT_DEBUG: '' }).err, '')
})

/** Awaits an error with these words. */
async function refused(words: RegExp, options: object): Promise<void> {
  try {
    await init(options)
  } catch (error) {
    return assert.match((error as Error).message, words)
  }
  assert.unreachable(`init(${JSON.stringify(options)}) was accepted`)
}

test('options that are wrong are refused, and harm nothing', async () => {
  await init({ threads: 1 })
  for (const threads of [0, -1, 1.5, 65, Number.NaN, 'many'])
    await refused(
      /threads: expected a whole number from 1 to 64, found .*\. Hint: init\(\{ threads \}\) or RUSHLIGHT_THREADS/,
      { threads },
    )
  await refused(/init: unsupported option thread\. Supported: threads, module, wasm, worker/, { thread: 2 })
  await refused(/wasm: expected 'simd', 'relaxed' or the bytes of a binary, found fast/, { wasm: 'fast' })
  await refused(/was not built by build\.mjs/, { wasm: new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]) })
  await refused(/module: it cannot be used with unshared memory/, {
    threads: 1,
    module: new WebAssembly.Module(withMemoryForm(binary('simd'), true)),
  })
  assert.is(runtimeInfo().threads, 1)
  const t = tensor([1, 2])
  await refused(/init: tensors are alive already\. Hint/, { threads: 2 })
  await init() // asks for nothing
  t.dispose()
  const empty = alloc(0)
  await refused(/init: tensors are alive already/, { threads: 2 })
  free(empty)
})

test('threads, builds and modules can be chosen anew while nothing is alive', async () => {
  await init({ threads: 3, wasm: 'simd' })
  assert.is(runtimeInfo().build, 'simd')
  await started(3)
  if (hasRelaxedSimd()) {
    await init({ threads: 2, wasm: 'relaxed' })
    assert.is(runtimeInfo().build, 'relaxed')
    await started(2)
  }
  await init({ threads: 1, wasm: binary('simd') })
  assert.is(runtimeInfo().build, 'given')
  await init({ threads: 2, module: new WebAssembly.Module(withMemoryForm(binary('simd'), true)) })
  await started(2)
  assert.is(runtimeInfo().build, 'given')
  await init({ wasm: 'simd' })
  assert.is(runtimeInfo().build, 'simd')
  assert.is(
    tidy(() =>
      ones([1 << 20])
        .sum()
        .item(),
    ),
    2 ** 20,
  )
  assert.equal([memory().used, memory().tensors], [0, 0])
})

const program = programs[process.argv[2]]
if (program) await program()
else test.run()
