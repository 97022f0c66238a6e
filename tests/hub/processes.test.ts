// Several processes and one cache: killed in the middle, and side by side.
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { REPOSITORIES, WEIGHTS } from './repositories.ts'
import { type Hub, startHub } from './server.ts'

let hub: Hub
let cache: string
test.before(async () => {
  hub = await startHub({ repositories: REPOSITORIES })
})
test.after(() => hub.close())
test.before.each(() => {
  cache = mkdtempSync(join(tmpdir(), 'rushlight-hub-'))
  hub.faults.length = hub.requests.length = 0
})
test.after.each(() => rmSync(cache, { recursive: true, force: true }))

const sha256 = createHash('sha256').update(WEIGHTS).digest('hex')
const left = () => {
  const blobs = join(cache, 'models--tests--tiny/blobs')
  return existsSync(blobs) ? readdirSync(blobs).map((name) => join(blobs, name)) : []
}

/** rushlight download of the weights, as a process of its own. */
function start(): { child: ChildProcess; ended: Promise<number | null> } {
  const args = ['download', 'tests/tiny', 'model.safetensors', '--cache-dir', cache]
  const env = { PATH: process.env.PATH, HF_ENDPOINT: hub.url, HF_HOME: cache }
  const child = spawn(process.execPath, ['build/tests/rushlight-cli.mjs', ...args], { env, stdio: 'ignore' })
  return { child, ended: new Promise((resolve) => child.on('exit', resolve)) }
}

test('what a killed process left is taken up by the next', async () => {
  hub.faults.push({ origin: 'files', slow: 20, times: 1 })
  const { child, ended } = start()
  while (!left().some((path) => statSync(path, { throwIfNoEntry: false })?.size))
    await new Promise((resolve) => setTimeout(resolve, 5))
  child.kill('SIGKILL')
  await ended
  assert.is(left().length, 1)
  assert.match(left()[0], /-\d+-[0-9a-z]+\.rushlight\.incomplete$/)
  const size = statSync(left()[0]).size
  assert.ok(size > 0 && size < WEIGHTS.length, `${size}`)
  assert.is(await start().ended, 0)
  assert.is(hub.requests.at(-1)?.headers.range, `bytes=${size}-`)
  assert.equal(left(), [join(cache, 'models--tests--tiny/blobs', sha256)])
  assert.ok(readFileSync(left()[0]).equals(WEIGHTS))
})

test('two processes at the same file leave one whole blob', async () => {
  hub.faults.push({ origin: 'files', slow: 40 })
  assert.equal(await Promise.all([start().ended, start().ended]), [0, 0])
  assert.ok(!hub.requests.some(({ headers }) => headers.range), 'neither took the part of the other')
  assert.equal(left(), [join(cache, 'models--tests--tiny/blobs', sha256)])
  assert.ok(readFileSync(left()[0]).equals(WEIGHTS))
})

test.run()
