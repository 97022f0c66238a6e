// What the public API tells of the runtime under the tensors.
import { liveTensors } from './tensor/tensor.ts'
import { heapUsage } from './wasm/index.ts'

export { type InitOptions, init, OutOfMemoryError, runtimeInfo } from './wasm/index.ts'

/** Heap use in bytes (now, at most so far, behind the heap), and the number of live tensors. */
export function memory(): { used: number; peak: number; reserved: number; tensors: number } {
  return { ...heapUsage(), tensors: liveTensors() }
}
