// What a server, a network and a disk can do wrong: in the end a file is whole and right, or there is none and an error that says why.
import { createHash } from 'node:crypto'
import fs, { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CorruptDownloadError,
  env,
  FileMetadataError,
  hf_hub_download,
  HfHubHTTPError,
  openRepository,
  snapshot_download,
} from '../../src/hub/index.ts'
import { FileError } from '../../src/util/errors.ts'
import { rejects, withEnvironment } from './helpers.ts'
import { REPOSITORIES, WEIGHTS } from './repositories.ts'
import { type Hub, type HubFault, startHub } from './server.ts'

let hub: Hub
let cache: string
const faultless = { ...env.retries }
test.before(async () => {
  hub = await startHub({ repositories: REPOSITORIES })
  env.remoteHost = hub.url
})
test.after(() => hub.close())
test.before.each(() => {
  cache = mkdtempSync(join(tmpdir(), 'rushlight-hub-'))
  hub.faults.length = hub.requests.length = 0
  Object.assign(env.retries, faultless, { base: 1, most: 4 })
})
test.after.each(() => rmSync(cache, { recursive: true, force: true }))

const sha256 = createHash('sha256').update(WEIGHTS).digest('hex')
const blobs = () => join(cache, 'models--tests--tiny/blobs')
const download = (options = {}) => hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: cache, ...options })
const ranges = () => hub.requests.filter(({ origin }) => origin === 'files').map(({ headers }) => headers.range)
const left = () => (existsSync(blobs()) ? readdirSync(blobs()) : [])

/** The file comes whole in spite of faults. */
async function survives(...faults: HubFault[]): Promise<void> {
  hub.faults.push(...faults)
  assert.ok(readFileSync(await download()).equals(WEIGHTS))
  assert.equal(left(), [sha256])
}

test('a cut connection is taken up where it broke', async () => {
  await survives({ origin: 'files', dropAfter: 100_000, times: 2 })
  assert.is(ranges().length, 3)
  assert.is(ranges()[0], undefined)
  const [second, third] = ranges()
    .slice(1)
    .map((range) => Number(range?.match(/^bytes=(\d+)-$/)?.[1]))
  assert.ok(second > 0 && second <= 100_000 && third > second, `${second}, ${third}`)
})

for (const range of ['ignored', 'wrong', 'refused'] as const)
  test(`a range that is ${range} does no harm`, () =>
    survives({ origin: 'files', dropAfter: 100_000, times: 1 }, { origin: 'files', range, times: 1 }))

test('a busy or broken server is asked again', async () => {
  await survives(
    { status: 503, method: 'HEAD', times: 1 },
    { status: 429, headers: { 'retry-after': '0.01' }, method: 'HEAD', times: 1 },
    { hangUp: true, method: 'HEAD', times: 1 },
    { status: 500, origin: 'files', times: 2 },
    { hangUp: true, origin: 'files', times: 1 },
  )
})

test('after so many attempts the error says what the server said; attempts that brought something do not count', async () => {
  env.retries.attempts = 3
  hub.faults.push({ status: 503, method: 'HEAD' })
  await rejects(download(), HfHubHTTPError, /tests\/tiny\/model\.safetensors: the server answers 503/)
  assert.is(hub.requests.length, 3)
  hub.faults.length = 0
  await survives({ origin: 'files', dropAfter: 40_000, times: 6 })
})

test('Retry-After is waited for, and told where it is too long', async () => {
  hub.faults.push({ status: 429, headers: { 'retry-after': '0.05' }, method: 'HEAD', times: 1 })
  const started = performance.now()
  await download()
  assert.ok(performance.now() - started >= 45)
  hub.faults.push({ status: 429, headers: { 'retry-after': '3600' } })
  await rejects(
    openRepository('tests/tiny', { cache_dir: join(cache, 'other') }),
    HfHubHTTPError,
    /429: too many requests.*Hint: wait/,
  )
})

test('a server that says nothing counts as cut, one that is only slow does not', async () => {
  await withEnvironment({ HF_HUB_DOWNLOAD_TIMEOUT: '0.2', HF_HUB_ETAG_TIMEOUT: '0.2' }, () =>
    survives(
      { method: 'HEAD', wait: 1000, times: 1 },
      { origin: 'files', wait: 1000, times: 1 },
      { origin: 'files', slow: 15, times: 1 },
    ),
  )
})

test('wrong bytes are not kept: another hash, fewer, more', async () => {
  env.retries.attempts = 2
  const other = WEIGHTS.slice()
  other[200_000] ^= 1
  hub.faults.push({ origin: 'files', content: other })
  await rejects(
    download(),
    CorruptDownloadError,
    new RegExp(`sha256: expected ${sha256}, found [0-9a-f]{64}. Hint: try again`),
  )
  assert.equal(left(), [])
  for (const content of [WEIGHTS.subarray(0, 299_999), new Uint8Array(300_001)])
    for (const without of [[], ['content-length']]) {
      hub.faults.length = 0
      hub.faults.push({ origin: 'files', content, without })
      await rejects(download(), CorruptDownloadError, /expected 300000 bytes, found \d+/)
      assert.ok(!left().includes(sha256))
    }
  hub.faults.length = 0
  assert.ok(readFileSync(await download()).equals(WEIGHTS), 'what came of a short one is no obstacle')
  assert.equal(left(), [sha256])
})

test('a length that only the download tells is enough; without an etag or a commit there is no download', async () => {
  await survives({ method: 'HEAD', without: ['x-linked-size'], times: 1 })
  const other = { cache_dir: join(cache, 'other') }
  hub.faults.push({ method: 'HEAD', without: ['x-linked-etag', 'etag'], times: 1 })
  await rejects(download(other), FileMetadataError, /expected an etag.*found none/)
  hub.faults.push({ method: 'HEAD', without: ['x-repo-commit'], times: 1 })
  await rejects(download(other), FileMetadataError, /no X-Repo-Commit.*HF_ENDPOINT/)
  assert.ok(!existsSync(other.cache_dir))
})

test('what a server says never becomes a path outside the cache', async () => {
  const say = (name: string, value: string) => hub.faults.push({ method: 'HEAD', headers: { [name]: value }, times: 1 })
  say('x-repo-commit', '../../../../evil')
  await rejects(download(), FileMetadataError, /the commit is "\.\.\/\.\.\/\.\.\/\.\.\/evil"/)
  say('x-linked-etag', '"../../../../evil"')
  await download()
  assert.equal(left(), ['..%2F..%2F..%2F..%2Fevil'])
  say('x-linked-etag', '".."')
  await download({ force_download: true })
  assert.equal(left(), ['%2e%2e', '..%2F..%2F..%2F..%2Fevil'].sort())
  const evil = await startHub({
    repositories: { 'tests/evil': { files: { 'config.json': '{}', '../../../evil': 'x' } } },
  })
  env.remoteHost = evil.url
  try {
    await rejects(
      snapshot_download('tests/evil', { cache_dir: cache }),
      FileError,
      /"\.\.\/\.\.\/\.\.\/evil" is not the name of a file/,
    )
  } finally {
    env.remoteHost = hub.url
    await evil.close()
  }
})

test('the token goes to the endpoint alone, and into no error', async () => {
  const token = 'hf_test'
  await hf_hub_download('tests/private', 'model.bin', { cache_dir: cache, token })
  for (const { origin, headers } of hub.requests)
    assert.is(headers.authorization, origin === 'hub' ? `Bearer ${token}` : undefined)
  assert.ok(hub.requests.some(({ origin }) => origin === 'files'))
  const elsewhere = await startHub({ repositories: {} })
  hub.requests.length = 0
  hub.faults.push({ method: 'HEAD', redirect: `${elsewhere.url}/x` })
  await rejects(download({ token }), HfHubHTTPError, /./)
  hub.faults.length = 0
  hub.faults.push({ method: 'GET', origin: 'hub', redirect: `${elsewhere.url}/x` })
  await rejects(download({ token }), HfHubHTTPError, /./)
  assert.ok(elsewhere.requests.length > 0)
  for (const { headers } of elsewhere.requests) assert.is(headers.authorization, undefined)
  hub.faults.splice(0, 1, { method: 'GET', origin: 'hub', redirect: `${elsewhere.url}/x`, times: 1 })
  elsewhere.faults.push({ redirect: `${hub.url}/tests/tiny/resolve/main/config.json` })
  await hf_hub_download('tests/tiny', 'config.json', { cache_dir: join(cache, 'back'), token })
  assert.is(hub.requests.at(-1)?.headers.authorization, undefined, 'nor after a redirect that leads back')
  await elsewhere.close()
  for (const fault of [
    { status: 403, headers: { 'x-error-message': `no rights for ${token}` } },
    { status: 500, headers: { 'x-error-message': `no rights for ${token}` } },
    { hangUp: true },
    { redirect: 'ftp://example/' },
  ]) {
    hub.faults.splice(0, 1, fault)
    const error = await rejects(
      openRepository('tests/tiny', { cache_dir: join(cache, 'fresh'), token }),
      FileError,
      /tests\/tiny/,
    )
    for (let one: unknown = error; one instanceof Error; one = one.cause)
      assert.not.match(`${one.message}${one.stack}`, token)
  }
  hub.faults.length = 0
  hub.faults.push({ origin: 'files', status: 403 })
  const error = await rejects(download(), HfHubHTTPError, /./)
  assert.not.match(error.message, /signature|secret/)
})

test('a mirror may leave the questions to the Hub', async () => {
  const mirror = await startHub({ repositories: REPOSITORIES })
  mirror.faults.push({ method: 'HEAD', redirect: `${hub.url}/tests/tiny/resolve/main/model.safetensors` })
  env.remoteHost = mirror.url
  try {
    assert.ok(readFileSync(await download({ token: 'hf_test' })).equals(WEIGHTS))
  } finally {
    env.remoteHost = hub.url
    await mirror.close()
  }
  assert.equal(
    hub.requests.map(({ method, headers }) => [method, headers.authorization]),
    [['HEAD', undefined]],
  )
})

test('redirects end', async () => {
  hub.faults.push({ redirect: `${hub.url}/round` })
  await rejects(download(), HfHubHTTPError, /more than 10 redirects/)
})

test('an aborted download ends at once, and the next goes on where it was', async () => {
  hub.faults.push({ origin: 'files', slow: 5, times: 1 })
  const controller = new AbortController()
  let seen = 0
  const progress_callback = (info: { loaded?: number }) => {
    seen = info.loaded ?? seen
    if (seen > 50_000) controller.abort(new Error('enough'))
  }
  await rejects(download({ signal: controller.signal, progress_callback }), Error, /^enough$/)
  assert.equal(left(), [`${sha256}.rushlight.incomplete`])
  await download()
  assert.match(String(ranges().at(-1)), /^bytes=\d+-$/)
  assert.equal(left(), [sha256])
  await rejects(download({ signal: AbortSignal.abort(new Error('before')), force_download: true }), Error, /^before$/)
})

test('only what rushlight left behind is taken up: neither Python’s nor that of a process that is at it', async () => {
  mkdirSync(blobs(), { recursive: true })
  const [part, foreign] = [WEIGHTS.subarray(0, 123_456), Buffer.alloc(50_000)]
  const machine = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
  writeFileSync(join(blobs(), `${sha256}.incomplete`), foreign)
  writeFileSync(join(blobs(), `${sha256}.1a2b3c4d.incomplete`), foreign)
  writeFileSync(join(blobs(), `${sha256}.${machine}-${process.ppid}-abc.rushlight.incomplete`), foreign)
  const others = left()
  await download()
  assert.equal(ranges(), [undefined])
  assert.equal(left(), [sha256, ...others].sort())
  rmSync(join(blobs(), sha256))
  writeFileSync(join(blobs(), `${sha256}.rushlight.incomplete`), part)
  await download({ revision: 'refs/pr/1' })
  assert.is(ranges().at(-1), 'bytes=123456-')
  assert.equal(left(), [sha256, ...others].sort())
})

test('a damaged part is found out by its hash, and thrown away', async () => {
  mkdirSync(blobs(), { recursive: true })
  writeFileSync(join(blobs(), `${sha256}.rushlight.incomplete`), Buffer.alloc(100_000))
  assert.ok(readFileSync(await download()).equals(WEIGHTS))
  assert.equal(ranges(), ['bytes=100000-', undefined])
  rmSync(join(blobs(), sha256))
  writeFileSync(join(blobs(), `${sha256}.rushlight.incomplete`), WEIGHTS) // whole, but never moved to its place
  hub.requests.length = 0
  await download({ revision: 'refs/pr/1' })
  assert.equal(ranges(), [], 'a whole one needs no request')
})

test('a full disk is told, and leaves nothing', async () => {
  const { writeSync, statfsSync } = fs
  let room = 2
  Object.assign(fs, {
    writeSync: (...args: Parameters<typeof writeSync>) => {
      if (room-- > 0) return writeSync(...args)
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    },
  })
  try {
    await rejects(download(), FileError, /model\.safetensors: cannot be written to the cache: the disk is full/)
  } finally {
    Object.assign(fs, { writeSync })
  }
  assert.equal(left(), [])
  Object.assign(fs, { statfsSync: () => ({ bavail: 10, bsize: 4096 }) })
  hub.requests.length = 0
  try {
    await rejects(download(), FileError, /needs 300000 bytes, and there are 40960/)
  } finally {
    Object.assign(fs, { statfsSync })
  }
  assert.equal(ranges(), [])
  assert.equal(left(), [])
})

test('a cache that cannot be written is told', async () => {
  writeFileSync(join(cache, 'models--tests--tiny'), 'a file')
  await rejects(download(), FileError, /cannot be written/)
})

test.run()
