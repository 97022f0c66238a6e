// Waits for threads: on a busy machine a worker may take longer to start than ready() waits.
import * as assert from 'uvu/assert'
import { ready, runtimeInfo } from '../../src/wasm/index.ts'

/** Resolves when that many threads take part. Fails after a minute. */
export async function started(
  threads: number,
  pool: { threads: number; ready(): Promise<void> } = core,
): Promise<void> {
  for (let i = 0; i < 30 && pool.threads < threads; i++) await pool.ready()
  assert.is(pool.threads, threads)
}

const core = {
  get threads() {
    return runtimeInfo().threads
  },
  ready,
}
