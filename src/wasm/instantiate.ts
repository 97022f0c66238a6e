// From the inlined binary to an instance: inflate, choose the memory form, compile, instantiate.
import { inflateSync } from 'fflate'
import relaxedPacked from 'rushlight:relaxed'
import simdPacked from 'rushlight:simd'
import { RushlightError } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'

export type Build = 'simd' | 'relaxed'
export type Kernel = (...args: number[]) => void

const PAGE = 65536

/** The binary of a build, inflated (by node:zlib where it exists: a tenth of fflate's time). */
export function binary(build: Build): Uint8Array<ArrayBuffer> {
  const text = atob(build === 'relaxed' ? relaxedPacked : simdPacked)
  const packed = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i)
  const zlib = builtin('node:zlib')
  return new Uint8Array(zlib ? zlib.inflateRawSync(packed) : inflateSync(packed))
}

// The memory import: "env" "memory", kind 2 (memory), limits flag 3 (maximum, shared).
const MEMORY_IMPORT = [3, ...bytesOf('env'), 6, ...bytesOf('memory'), 2]

function bytesOf(text: string): number[] {
  return [...text].map((c) => c.charCodeAt(0))
}

/**
 * The same binary for unshared memory: kernels use no atomics, so the two forms differ in one byte, the flag of the
 * memory import's limits (3: shared with a maximum, 1: a maximum only).
 */
export function withMemoryForm(bytes: Uint8Array<ArrayBuffer>, shared: boolean): Uint8Array<ArrayBuffer> {
  const at = bytes.findIndex((_, i) => MEMORY_IMPORT.every((b, j) => bytes[i + j] === b))
  const flag = at + MEMORY_IMPORT.length
  if (at < 0 || (bytes[flag] !== 3 && bytes[flag] !== 1))
    throw new RushlightError('The WASM binary does not import env.memory with a maximum: it was not built by build.mjs')
  bytes[flag] = shared ? 3 : 1
  return bytes
}

/** Memory with the largest maximum (in bytes) this runtime allows, never one without a maximum. */
export function createMemory(shared: boolean): { memory: WebAssembly.Memory; maximum: number } {
  let refusal: unknown
  for (const maximum of [65536, 32768, 16384, 8192]) {
    try {
      return { memory: new WebAssembly.Memory({ initial: 1, maximum, shared }), maximum: maximum * PAGE }
    } catch (error) {
      refusal = error
    }
  }
  throw new RushlightError(`No WebAssembly memory of even ${(8192 * PAGE) >> 20} MiB could be reserved`, {
    cause: refusal,
  })
}

/** An instance over that memory. @throws RushlightError for a module that is none of ours, or is for the other kind of memory */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): WebAssembly.Instance {
  try {
    return new WebAssembly.Instance(module, { env: { memory } })
  } catch (error) {
    const kind = memory.buffer instanceof ArrayBuffer ? 'unshared' : 'shared'
    throw new RushlightError(
      `module: it cannot be used with ${kind} memory. Hint: modules for unshared memory go with threads: 1, those for shared memory with more`,
      { cause: error },
    )
  }
}

/** The kernels of a module as a list in export order, which is the same in every instance: workers name kernels by position. */
export function kernelNames(module: WebAssembly.Module): string[] {
  return WebAssembly.Module.exports(module)
    .filter((e) => e.kind === 'function')
    .map((e) => e.name)
}
