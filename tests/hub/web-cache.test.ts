// As in a browser (in-browser.mjs runs a real one): no file system, redirects that hide their headers, Cache Storage, our own sha256.
import { createHash } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FileError } from '../../src/util/errors.ts'
import { bytesOf, rejects } from './helpers.ts'
import { randomBytes, REPOSITORIES, WEIGHTS } from './repositories.ts'
import { type Hub, startHub } from './server.ts'

/** Cache Storage: a body that fails is not stored. */
class FakeCaches {
  readonly stores = new Map<string, Map<string, { body: Blob; headers: Headers }>>()

  async open(name: string) {
    const store = this.stores.get(name) ?? new Map<string, { body: Blob; headers: Headers }>()
    this.stores.set(name, store)
    return {
      match: async (key: string) => {
        const found = store.get(key)
        return found && new Response(found.body, { headers: found.headers })
      },
      put: async (key: string, response: Response) => {
        const { headers } = response
        store.set(key, { body: await response.blob(), headers })
      },
    }
  }
}

/** fetch of a browser: redirects are followed unseen, or hidden. */
const browserFetch: typeof fetch = async (url, init) => {
  assert.ok(!Object.keys(init?.headers ?? {}).some((name) => /^(user-agent|accept-encoding)$/i.test(name)))
  const response = await fetch(url, init)
  if (init?.redirect !== 'manual' || response.status < 300 || response.status >= 400) return response
  await response.body?.cancel()
  return Object.defineProperties(new Response(), { type: { value: 'opaqueredirect' }, status: { value: 0 } })
}

// What surrounds us is looked at once, when the module is loaded.
const { getBuiltinModule } = process
Object.assign(process, { getBuiltinModule: () => undefined })
const {
  CorruptDownloadError,
  env,
  GatedRepoError,
  get_token,
  hf_hub_download,
  LocalEntryNotFoundError,
  login,
  logout,
  openRepository,
  RepositoryNotFoundError,
} = await import('../../src/hub/index.ts')
const { Sha256 } = await import('../../src/hub/sha256.ts')
Object.assign(process, { getBuiltinModule })

let hub: Hub
let storage: FakeCaches
test.before(async () => {
  hub = await startHub({ repositories: REPOSITORIES })
  env.remoteHost = hub.url
  Object.assign(env.retries, { base: 1, most: 4 })
})
test.after(() => hub.close())
test.before.each(() => {
  hub.faults.length = hub.requests.length = 0
  storage = new FakeCaches()
  Object.assign(process, { getBuiltinModule: () => undefined })
  Object.assign(globalThis, { caches: storage })
  env.fetch = browserFetch
})
test.after.each(() => {
  Object.assign(process, { getBuiltinModule })
  Reflect.deleteProperty(globalThis, 'caches')
})
const asked = () => hub.requests.map(({ method, path }) => `${method} ${path}`)

test('what redirects hide comes from the API, files stay in Cache Storage', async () => {
  const repository = await openRepository('tests/tiny', { token: 'hf_test' })
  assert.is(await repository.has('no.json'), false)
  assert.is(await repository.size('model.safetensors'), WEIGHTS.length)
  assert.ok((await bytesOf(repository, 'model.safetensors')).equals(WEIGHTS))
  assert.equal(await repository.json('config.json'), { model_type: 'llama' })
  assert.ok(asked().includes(`POST /api/models/tests/tiny/paths-info/${hub.commit('tests/tiny')}`))
  for (const { origin, headers } of hub.requests)
    assert.is(headers.authorization, origin === 'hub' ? 'Bearer hf_test' : undefined)
  const commit = hub.commit('tests/tiny')
  assert.ok(storage.stores.get('rushlight-cache')?.has(`${hub.url}/tests/tiny/resolve/${commit}/model.safetensors`))

  hub.requests.length = 0
  const again = await openRepository('tests/tiny')
  assert.ok((await bytesOf(again, 'model.safetensors')).equals(WEIGHTS))
  assert.is(await again.size('model.safetensors'), WEIGHTS.length)
  assert.equal(asked(), ['HEAD /tests/tiny/resolve/main/config.json'])
  hub.requests.length = 0
  const offline = await openRepository('tests/tiny', { local_files_only: true })
  assert.equal(await offline.json('config.json'), { model_type: 'llama' })
  await rejects(offline.open('empty.txt'), LocalEntryNotFoundError, /not in the cache/)
  assert.equal(asked(), [])
})

test('refusals are the same errors', async () => {
  await rejects(openRepository('tests/none'), RepositoryNotFoundError, /no such repository/)
  await rejects(openRepository('tests/gated'), GatedRepoError, /accept/)
  await rejects(hf_hub_download('tests/tiny', 'config.json'), FileError, /no directory for downloads.*openRepository/)
})

test('a cut download goes on, a wrong one is not kept', async () => {
  const repository = await openRepository('tests/tiny')
  const other = WEIGHTS.slice()
  other[1] ^= 1
  hub.faults.push({ origin: 'files', content: other, times: 1 })
  await rejects(repository.open('model.safetensors'), CorruptDownloadError, /sha256: expected/)
  assert.ok(![...(storage.stores.get('rushlight-cache')?.keys() ?? [])].some((key) => key.includes('safetensors')))
  hub.faults.push({ origin: 'files', dropAfter: 90_000, times: 2 })
  assert.ok((await bytesOf(repository, 'model.safetensors')).equals(WEIGHTS))
  assert.ok(hub.requests.some(({ headers }) => /^bytes=\d+-$/.test(headers.range ?? '')))
})

test('a cache of the program’s own is used in place of all others, and memory where there is none', async () => {
  const kept = new Map<string, Response>()
  env.useCustomCache = true
  await rejects(openRepository('tests/tiny'), Error, /customCache must have the methods match and put/)
  env.customCache = {
    match: async (key) => kept.get(key)?.clone(),
    put: async (key, response) => {
      kept.set(key, new Response(await response.blob(), { headers: response.headers }))
    },
  }
  const repository = await openRepository('tests/tiny')
  assert.equal(await repository.json('config.json'), { model_type: 'llama' })
  assert.ok([...kept.keys()].some((key) => key.endsWith('/config.json')))
  assert.is(storage.stores.size, 0)
  env.useCustomCache = env.useBrowserCache = false
  const other = await openRepository('tests/tiny')
  assert.is(await other.text('a name with ümlauts & spaces.txt'), 'kept')
  hub.requests.length = 0
  assert.is(await other.text('a name with ümlauts & spaces.txt'), 'kept')
  assert.equal(asked(), [])
  env.useBrowserCache = true
})

test('models of the page’s own server come first where they are allowed', async () => {
  Object.assign(env, { allowLocalModels: true, fetch: undefined, localModelPath: `${hub.url}/tests/tiny/resolve` })
  const repository = await openRepository('main')
  assert.is(repository.name, `${hub.url}/tests/tiny/resolve/main`)
  assert.equal(await repository.json('config.json'), { model_type: 'llama' })
  assert.is((await openRepository('tests/tiny')).name, 'tests/tiny')
  Object.assign(env, { allowLocalModels: false, localModelPath: '/models/' })
})

test('a login lasts as long as the page', async () => {
  await login('hf_test')
  assert.is(get_token(), 'hf_test')
  assert.equal(await (await openRepository('tests/private')).json('config.json'), { secret: true })
  assert.is(logout(), true)
  assert.is(get_token(), undefined)
  assert.is(logout(), false)
})

test('our own sha256 is that of node:crypto', () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 70_001]) {
    const bytes = randomBytes(length, length)
    const hash = new Sha256()
    for (let at = 0; at < length; at += 777) hash.update(bytes.subarray(at, at + 777))
    assert.is(hash.hex(), createHash('sha256').update(bytes).digest('hex'), `${length} bytes`)
  }
})

test.run()
