// The same 200 MB by curl to a file, then sha256sum of it.      node benchmarks/peers/curl.mjs
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { BYTES, FILE, REPOSITORY, startHub } from '../hub.mjs'
import { best, options, report } from '../measure.mjs'

const run = promisify(execFile)
const hub = await startHub()
const folder = await mkdtemp(join(tmpdir(), 'rushlight-curl-'))
const file = join(folder, FILE)
try {
  const ms = await best(async () => {
    await rm(file, { force: true })
    await run('curl', ['-sfL', '-o', file, `${hub.url}/${REPOSITORY}/resolve/main/${FILE}`])
    await run('sha256sum', [file])
  }, options().seconds)
  report({ who: 'curl, sha256sum', work: 'download 200 MB', threads: 1, value: BYTES / ms / 1000, unit: 'MB/s' })
} finally {
  hub.close()
  await rm(folder, { recursive: true, force: true })
}
