// 200 MB from a local Hub to the cache: received, hashed, written, published.      node benchmarks/ours/download.mjs
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BYTES, FILE, REPOSITORY, startHub } from '../hub.mjs'
import { best, options, report } from '../measure.mjs'

const { env, hf_hub_download } = await import('../../dist/index.js')
const hub = await startHub()
env.remoteHost = hub.url
const cache_dir = await mkdtemp(join(tmpdir(), 'rushlight-download-'))
let heap = 0
const progress_callback = () => {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  heap = Math.max(heap, heapUsed + external + arrayBuffers)
}
try {
  const ms = await best(async () => {
    await rm(join(cache_dir, 'models--benchmarks--download'), { recursive: true, force: true })
    await hf_hub_download(REPOSITORY, FILE, { cache_dir, progress_callback, token: false })
  }, options().seconds)
  report({ who: 'rushlight', work: 'download 200 MB', threads: 1, value: BYTES / ms / 1000, unit: 'MB/s' })
  console.error(`memory of JavaScript at its most: ${Math.round(heap / 1e6)} MB`)
} finally {
  hub.close()
  await rm(cache_dir, { recursive: true, force: true })
}
