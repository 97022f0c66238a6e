// What the coordinator and its workers agree on: one small shared buffer of control words and arguments.
//
// CLAIM is the heart: epoch in the high 20 bits, chunks left in the low 12. A claim is a compare-exchange that lowers the
// count, and arguments are read only after a claim. Arguments are written only when every claimed chunk is done, so no
// thread can ever run a chunk with another job's arguments, however late it wakes.

/** Int32 indexes, a cache line apart where different threads write. */
export const CLAIM = 0
export const DONE = 16
export const SLEEPERS = 32
export const CALLER_WAITS = 33
export const READY = 34
export const STOP = 35
/** Number of chunks that trapped. */
export const FAILED = 36
/** Of the current job: kernel's position in the export list, number of arguments, chunks, extent, extent of a chunk. */
export const KERNEL = 48
export const ARGUMENTS = 49
export const CHUNKS = 50
export const COUNT = 51
export const GRAIN = 52

export const MAX_CHUNKS = 4095
export const EPOCH_SHIFT = 12
export const MAX_ARGUMENTS = 64
/** Byte offset of the arguments, as float64 (which holds every pointer, size and float32 exactly). */
export const ARGUMENTS_AT = 256
export const CONTROL_BYTES = ARGUMENTS_AT + 8 * MAX_ARGUMENTS

/** Scratch memory of each thread. */
export const SCRATCH_BYTES = 1 << 19

/** Polls of a word before a thread goes to sleep on it: some tens of microseconds. */
export const SPINS = 20_000

export interface WorkerStart {
  module: WebAssembly.Module | Uint8Array<ArrayBuffer>
  memory: WebAssembly.Memory
  control: SharedArrayBuffer
  scratch: number
}
