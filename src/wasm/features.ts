// What this runtime can do: SIMD, relaxed SIMD, shared memory, blocking waits.

import { builtin } from '../util/platform.ts'

// () => i8x16.popcnt(i8x16.splat(0))
const SIMD_PROBE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]
// () => i8x16.relaxed_swizzle(i8x16.splat(1), i8x16.splat(2))
const RELAXED_PROBE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
]

/** Whether 128-bit SIMD compiles here. Every runtime of the last years has it. */
export function hasSimd(): boolean {
  return WebAssembly.validate(new Uint8Array(SIMD_PROBE))
}

/** Whether relaxed SIMD compiles here. Node 20 has it behind a flag, which is set at run time (workers inherit it). */
export function hasRelaxedSimd(): boolean {
  const probe = new Uint8Array(RELAXED_PROBE)
  if (WebAssembly.validate(probe)) return true
  const versions = typeof process === 'undefined' ? undefined : process.versions
  // Newer versions print an error for a flag they no longer know: only the ones that need it get it.
  if (!versions?.v8 || Number.parseInt(versions.v8, 10) > 11) return false
  builtin('node:v8')?.setFlagsFromString('--experimental-wasm-relaxed-simd')
  return WebAssembly.validate(probe)
}

/** Whether memory can be shared with workers (browsers: only on a cross-origin isolated page). */
export function hasSharedMemory(): boolean {
  if (typeof SharedArrayBuffer === 'undefined') return false
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated
  return builtin('node:worker_threads') !== undefined || (isolated ?? false)
}

/** Whether this thread may block in Atomics.wait; the main thread of a browser may not. */
export function canBlock(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0)
    return true
  } catch {
    return false
  }
}

/** Number of threads worth using when nobody says. */
export function defaultThreads(): number {
  return builtin('node:os')?.availableParallelism?.() ?? globalThis.navigator?.hardwareConcurrency ?? 1
}
