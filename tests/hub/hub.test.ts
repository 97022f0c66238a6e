// Repositories of the Hub: names, options, what is asked of whom, the cache's layout, two at a time.
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  _CACHED_NO_EXIST,
  EntryNotFoundError,
  env,
  GatedRepoError,
  HfHubHTTPError,
  hf_hub_download,
  LocalEntryNotFoundError,
  openRepository,
  type ProgressInfo,
  RepositoryNotFoundError,
  RevisionNotFoundError,
  scan_cache_dir,
  set_verbosity,
  snapshot_download,
  try_to_load_from_cache,
} from '../../src/hub/index.ts'
import { FileError, UnsupportedOptionError } from '../../src/util/errors.ts'
import { bytesOf, rejects, withEnvironment } from './helpers.ts'
import { REPOSITORIES, WEIGHTS } from './repositories.ts'
import { type Hub, startHub } from './server.ts'

let hub: Hub
let cache: string
test.before(async () => {
  hub = await startHub({ repositories: REPOSITORIES })
  env.remoteHost = hub.url
  Object.assign(env.retries, { base: 1, most: 4 })
})
test.after(() => hub.close())
test.before.each(() => {
  cache = mkdtempSync(join(tmpdir(), 'rushlight-hub-'))
  hub.faults.length = hub.requests.length = 0
})
test.after.each(() => rmSync(cache, { recursive: true, force: true }))

const asked = () => hub.requests.map(({ method, path }) => `${method} ${path}`)
const tiny = () => join(cache, 'models--tests--tiny')
const sha256 = createHash('sha256').update(WEIGHTS).digest('hex')

test('a repository by its name reads as a directory does, and what only asks downloads nothing', async () => {
  const repository = await openRepository('tests/tiny', { cache_dir: cache })
  assert.is(await repository.has('config.json'), true)
  assert.is(await repository.has('no.json'), false)
  assert.is(await repository.size('model.safetensors'), WEIGHTS.length)
  assert.is(await repository.size('empty.txt'), 0)
  assert.equal(await repository.list(), Object.keys(REPOSITORIES['tests/tiny'].files))
  assert.ok(!hub.requests.some(({ method, path }) => method === 'GET' && !path.startsWith('/api/')))
  assert.equal(await repository.json('config.json'), { model_type: 'llama' })
  assert.ok((await bytesOf(repository, 'model.safetensors')).equals(WEIGHTS))
  assert.is(await repository.text('empty.txt'), '')
  assert.is(await repository.text('a name with ümlauts & spaces.txt'), 'kept')
  await rejects(
    repository.open('no.json'),
    EntryNotFoundError,
    /tests\/tiny\/no\.json: the repository has no such file/,
  )
  await rejects(repository.size('no.json'), EntryNotFoundError, /no such file/)
  await rejects(repository.open('../config.json'), FileError, /not the name of a file/)
})

test('each file is asked for once, and of the one commit that the first answer named', async () => {
  const repository = await openRepository('tests/tiny', { cache_dir: cache })
  await repository.text('config.json')
  await repository.has('no.json')
  await repository.has('no.json')
  const commit = hub.commit('tests/tiny')
  assert.equal(asked(), [
    'HEAD /tests/tiny/resolve/main/config.json',
    `GET /tests/tiny/resolve/${commit}/config.json`,
    `HEAD /tests/tiny/resolve/${commit}/no.json`,
  ])
  hub.requests.length = 0
  const again = await openRepository('tests/tiny', { cache_dir: cache })
  assert.equal(await again.json('config.json'), { model_type: 'llama' })
  assert.is(await again.has('no.json'), false)
  assert.equal(asked(), ['HEAD /tests/tiny/resolve/main/config.json'], 'the branch may have moved; the files have not')
  hub.requests.length = 0
  const pinned = await openRepository('tests/tiny', { cache_dir: cache, revision: commit })
  await pinned.text('config.json')
  assert.equal(asked(), [], 'a commit never changes')
})

test('the cache is laid out as huggingface_hub does', async () => {
  const paths = [await hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: cache })]
  paths.push(
    await hf_hub_download({ repo_id: 'tests/tiny', filename: 'model.bin', subfolder: 'onnx/deep', cache_dir: cache }),
  )
  const commit = hub.commit('tests/tiny')
  assert.is(paths[0], join(tiny(), 'snapshots', commit, 'model.safetensors'))
  assert.is(readlinkSync(paths[0]), `../../blobs/${sha256}`)
  assert.match(readlinkSync(paths[1]), /^\.\.\/\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/)
  assert.ok(readFileSync(paths[0]).equals(WEIGHTS))
  assert.is(readFileSync(join(tiny(), 'refs/main'), 'utf8'), commit)
  await rejects(
    hf_hub_download('tests/tiny', 'sub/none.json', { cache_dir: cache }),
    EntryNotFoundError,
    /no such file/,
  )
  assert.is(readFileSync(join(tiny(), '.no_exist', commit, 'sub/none.json'), 'utf8'), '')
  await hf_hub_download('tests/tiny', 'config.json', { cache_dir: cache, revision: 'refs/pr/1' })
  assert.is(readFileSync(join(tiny(), 'refs/refs/pr/1'), 'utf8'), hub.commit('tests/tiny', 'refs/pr/1'))
  assert.match(readFileSync(join(cache, 'CACHEDIR.TAG'), 'utf8'), /^Signature: 8a477f597d28d172789f06886806bc55\n/)
  assert.is(
    await hf_hub_download('solo', 'config.json', { cache_dir: cache }).then((path) => path.includes('/models--solo/')),
    true,
  )
  assert.equal(
    readdirSync(cache, { recursive: true, encoding: 'utf8' }).filter((name) => /tmp|incomplete/.test(name)),
    [],
  )

  assert.is(try_to_load_from_cache('tests/tiny', 'model.safetensors', { cache_dir: cache }), paths[0])
  assert.is(try_to_load_from_cache('tests/tiny', 'sub/none.json', { cache_dir: cache }), _CACHED_NO_EXIST)
  assert.is(try_to_load_from_cache('tests/tiny', 'empty.txt', { cache_dir: cache }), undefined)
})

test('a blob that a second revision has too is linked, not downloaded again; one in a shared store is read and never written', async () => {
  await hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: cache })
  const gets = () => hub.requests.filter(({ method }) => method === 'GET').length
  const before = gets()
  await hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: cache, revision: 'refs/pr/1' })
  assert.is(gets(), before)
  const blob = join(tiny(), 'blobs', sha256)
  const store = join(cache, 'store')
  writeFileSync(store, 'precious')
  rmSync(blob)
  symlinkSync('../../store', blob) // a size that does not fit: the blob is downloaded, and the link replaced
  assert.ok(
    (
      await bytesOf(await openRepository('tests/tiny', { cache_dir: cache, force_download: true }), 'model.safetensors')
    ).equals(WEIGHTS),
  )
  assert.is(readFileSync(store, 'utf8'), 'precious')
  assert.ok(!lstatSync(blob).isSymbolicLink())
  writeFileSync(store, WEIGHTS)
  rmSync(join(tiny(), 'snapshots'), { recursive: true })
  rmSync(blob)
  symlinkSync('../../store', blob)
  hub.requests.length = 0
  const path = await hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: cache })
  assert.is(gets(), 0, 'a whole one is used')
  assert.is(realpathSync(path), realpathSync(store))
})

test('where links cannot be made, files are moved and copied', async () => {
  await withEnvironment({ HF_HUB_DISABLE_SYMLINKS: '1' }, async () => {
    const path = await hf_hub_download('tests/tiny', 'config.json', { cache_dir: cache })
    assert.ok(lstatSync(path).isFile())
    assert.equal(readdirSync(join(tiny(), 'blobs')), [])
  })
  const first = await hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: cache })
  await withEnvironment({ HF_HUB_DISABLE_SYMLINKS: '1' }, async () => {
    const path = await hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: cache, revision: 'refs/pr/1' })
    assert.ok(lstatSync(path).isFile())
    assert.ok(readFileSync(path).equals(readFileSync(first)))
  })
})

test('names, revisions, gates: each refusal is its own error and says what to do', async () => {
  const open = (name: string, options = {}) => openRepository(name, { cache_dir: cache, token: false, ...options })
  await rejects(
    open('tests/none'),
    RepositoryNotFoundError,
    /tests\/none.*no such repository, or it is private.*rushlight login.*no local directory "tests\/none" either/,
  )
  await rejects(open('tests/private'), RepositoryNotFoundError, /log in/)
  await rejects(open('tests/gated'), GatedRepoError, /gated.*accept/)
  await rejects(open('tests/tiny', { revision: 'v9' }), RevisionNotFoundError, /at v9.*no such revision.*branch/)
  await rejects(open('./nowhere'), FileError, /\.\/nowhere/)
  await rejects(open('a/b/c'), FileError, /no such local directory, and it cannot be the name of a repository/)
  await rejects(open('tests/tiny', { revision: '../x' }), Error, /revision: expected the name of a branch/)
  await rejects(open('tests/tiny', { subfolder: '../x' }), FileError, /not the name of a file/)
  await rejects(open('tests/tiny', { proxies: {} }), UnsupportedOptionError, /unsupported option proxies/)
  await rejects(open('tests/tiny', { token: 'hf_wrong' }), HfHubHTTPError, /does not know this token/)
  await rejects(open('tests/tiny', { token: 'with\nline' }), Error, /^token: expected letters and digits/)
  const secret = await open('tests/private', { token: 'hf_test' })
  assert.equal(await secret.json('config.json'), { secret: true })
})

test('a local directory is a repository of its own, found by its path or under env.localModelPath', async () => {
  mkdirSync(join(cache, 'tests/tiny/inner'), { recursive: true })
  writeFileSync(join(cache, 'tests/tiny/inner/config.json'), '{"local": true}')
  for (const [name, subfolder] of [
    [join(cache, 'tests/tiny/inner'), ''],
    [join(cache, 'tests/tiny'), 'inner'],
  ])
    assert.equal(await (await openRepository(name, { subfolder })).json('config.json'), { local: true })
  env.localModelPath = cache
  const repository = await openRepository('tests/tiny')
  assert.equal(await repository.list(), ['inner/config.json'])
  assert.is(await repository.size('inner/config.json'), 15)
  env.allowLocalModels = false
  assert.equal(await (await openRepository('tests/tiny', { cache_dir: cache })).json('config.json'), {
    model_type: 'llama',
  })
  env.allowLocalModels = true
  env.localModelPath = '/models/'
  assert.equal(hub.requests.length, 2)
})

test('without network the cache answers, and says what it lacks', async () => {
  await rejects(
    openRepository('tests/tiny', { cache_dir: cache, local_files_only: true }),
    LocalEntryNotFoundError,
    /not in the cache, and downloads are off/,
  )
  await (await openRepository('tests/tiny', { cache_dir: cache })).text('config.json')
  hub.requests.length = 0
  const offline = async () => {
    const repository = await openRepository('tests/tiny', { cache_dir: cache })
    assert.equal(await repository.json('config.json'), { model_type: 'llama' })
    assert.is(await repository.has('model.safetensors'), false)
    assert.equal(await repository.list(), ['config.json'])
    await rejects(
      repository.open('model.safetensors'),
      LocalEntryNotFoundError,
      /model\.safetensors: it is not in the cache/,
    )
    await rejects(repository.size('model.safetensors'), LocalEntryNotFoundError, /not in the cache/)
    assert.match(await snapshot_download('tests/tiny', { cache_dir: cache }), /snapshots/)
  }
  await withEnvironment({ HF_HUB_OFFLINE: '1' }, offline)
  await withEnvironment({ TRANSFORMERS_OFFLINE: 'yes' }, offline)
  env.allowRemoteModels = false
  await offline()
  env.allowRemoteModels = true
  assert.equal(hub.requests, [])
  hub.faults.push({ status: 503 })
  set_verbosity('error')
  await offline()
  set_verbosity('warning')
  assert.is(hub.requests.length, 2, 'one attempt each, since there is something to fall back on')
})

test('what the cache has is used when the Hub refuses, as in Python; a revision that is not there is an error', async () => {
  const open = (options = {}) => openRepository('tests/private', { cache_dir: cache, ...options })
  await (await open({ token: 'hf_test' })).text('config.json')
  set_verbosity('error')
  for (const token of [false, 'hf_expired'])
    assert.equal(await (await open({ token })).json('config.json'), { secret: true })
  set_verbosity('warning')
  await rejects(open({ token: false, force_download: true }), RepositoryNotFoundError, /./)
  await rejects(open({ token: false, revision: '0'.repeat(40) }), RepositoryNotFoundError, /./)
  await rejects(open({ token: 'hf_test', revision: 'v9' }), RevisionNotFoundError, /./)
})

test('env takes no setting that there is not', () => {
  assert.throws(
    () => env.backends,
    (error: Error) => error instanceof UnsupportedOptionError,
  )
  assert.throws(() => Object.assign(env, { useFS: true }), /useFS/)
})

test('where the cache is: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, ~', () => {
  const none = {
    HF_HUB_CACHE: undefined,
    HUGGINGFACE_HUB_CACHE: undefined,
    HF_HOME: undefined,
    XDG_CACHE_HOME: undefined,
  }
  const cases: [Record<string, string>, string | RegExp][] = [
    [{ HF_HUB_CACHE: '/a/', HF_HOME: '/b' }, '/a'],
    [{ HF_HOME: '/b', XDG_CACHE_HOME: '/c' }, '/b/hub'],
    [{ HF_HOME: '$RUSHLIGHT_T/x', RUSHLIGHT_T: '/t' }, '/t/x/hub'],
    [{ XDG_CACHE_HOME: '/c' }, '/c/huggingface/hub'],
    [{}, /^(?!~).+\/\.cache\/huggingface\/hub$/],
    [{ HF_HOME: '~/h' }, /^(?!~).+\/h\/hub$/],
  ]
  for (const [given, expected] of cases)
    withEnvironment({ ...none, ...given }, () => {
      if (typeof expected === 'string') assert.is(env.cacheDir, expected)
      else assert.match(env.cacheDir, expected)
    })
})

test('a snapshot is all files, or those that patterns choose; a failure ends it', async () => {
  const some = await snapshot_download('tests/tiny', {
    cache_dir: cache,
    allow_patterns: ['*.json', 'onnx/'],
    ignore_patterns: '*.txt',
  })
  const names = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => lstatSync(join(folder, name)).isSymbolicLink())
      .sort()
  assert.equal(names(some), ['config.json', 'onnx/deep/model.bin'])
  const all = await snapshot_download({ repo_id: 'tests/tiny', cache_dir: cache, max_workers: 3 })
  assert.is(all, some)
  assert.equal(names(all), Object.keys(REPOSITORIES['tests/tiny'].files).sort())
  hub.faults.push({ path: 'empty.txt', method: 'GET', status: 403 })
  await rejects(
    snapshot_download('tests/tiny', { cache_dir: cache, force_download: true }),
    HfHubHTTPError,
    /empty\.txt: the Hub refuses access/,
  )
})

test('scan_cache_dir tells what is there, and removes revisions', async () => {
  await hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: cache })
  await hf_hub_download('tests/tiny', 'config.json', { cache_dir: cache })
  await hf_hub_download('tests/tiny', 'config.json', { cache_dir: cache, revision: 'refs/pr/1' })
  await hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: cache, revision: 'refs/pr/1' })
  await hf_hub_download('solo', 'config.json', { cache_dir: cache })
  mkdirSync(join(cache, 'nonsense'))
  mkdirSync(join(cache, 'blobs/aa'), { recursive: true })
  writeFileSync(join(cache, 'blobs/.huggingface-shared-blobs'), '1\n') // Python's store for all repositories
  const info = scan_cache_dir(cache)
  assert.equal(
    info.repos.map(({ repo_id, nb_files, size_on_disk }) => [repo_id, nb_files, size_on_disk]),
    [
      ['solo', 1, 2],
      ['tests/tiny', 3, WEIGHTS.length + 23 + 22],
    ],
  )
  assert.is(info.warnings.length, 1)
  assert.match(info.warnings[0].message, /nonsense/)
  const other = hub.commit('tests/tiny', 'refs/pr/1')
  assert.equal(info.repos[1].revisions.find(({ commit_hash }) => commit_hash === other)?.refs, ['refs/pr/1'])
  const removal = info.delete_revisions(other)
  assert.is(removal.expected_freed_size, 22)
  removal.execute()
  const left = scan_cache_dir(cache)
  assert.is(left.repos[1].nb_files, 2)
  left.delete_revisions(hub.commit('tests/tiny')).execute()
  assert.ok(!existsSync(tiny()))
  assert.throws(() => left.delete_revisions('0'.repeat(40)), /no commit/)
  assert.throws(() => scan_cache_dir(join(cache, 'none')), /no such directory/)
})

test('progress_callback is told what transformers.js tells', async () => {
  const told: ProgressInfo[] = []
  const options = { cache_dir: cache, progress_callback: (info: ProgressInfo) => void told.push(info) }
  const repository = await openRepository('tests/tiny', options)
  assert.equal(told, [])
  await bytesOf(repository, 'model.safetensors')
  const [first, second, ...rest] = told
  const last = rest.pop()
  const totals = rest.filter(({ status }) => status === 'progress_total')
  const each = rest.filter(({ status }) => status === 'progress')
  const of = { name: 'tests/tiny', file: 'model.safetensors' }
  assert.equal(
    [first, second, last],
    [
      { status: 'initiate', ...of },
      { status: 'download', ...of },
      { status: 'done', ...of },
    ],
  )
  const whole = { loaded: WEIGHTS.length, total: WEIGHTS.length }
  assert.equal(each.at(-1), { status: 'progress', ...of, progress: 100, ...whole })
  assert.ok(each.every((info) => info.status === 'progress' && info.total === WEIGHTS.length))
  assert.is(totals.length + each.length, rest.length)
  const files = { 'model.safetensors': whole }
  assert.equal(totals.at(-1), { status: 'progress_total', name: 'tests/tiny', progress: 100, ...whole, files })
  await bytesOf(repository, 'config.json')
  const sum = { loaded: WEIGHTS.length + 23, total: WEIGHTS.length + 23 }
  assert.equal(
    told.findLast(({ status }) => status === 'progress_total'),
    {
      status: 'progress_total',
      name: 'tests/tiny',
      progress: 100,
      ...sum,
      files: { ...files, 'config.json': { loaded: 23, total: 23 } },
    },
    'two files together',
  )
  told.length = 0
  await bytesOf(await openRepository('tests/tiny', options), 'model.safetensors')
  assert.equal(
    told.map(({ status }) => status),
    ['initiate', 'download', 'progress_total', 'progress', 'done'],
    'of the cache too',
  )
})

test('two who want the same file at once download it once', async () => {
  const [a, b] = await Promise.all([0, 1].map(() => openRepository('tests/tiny', { cache_dir: cache })))
  const [x, y] = await Promise.all([bytesOf(a, 'model.safetensors'), bytesOf(b, 'model.safetensors')])
  assert.ok(x.equals(WEIGHTS) && y.equals(WEIGHTS))
  assert.is(hub.requests.filter(({ method, origin }) => method === 'GET' && origin === 'files').length, 1)
})

test('one who gives up does not take the file from the other', async () => {
  hub.faults.push({ origin: 'files', slow: 2, times: 1 })
  const aborted = new AbortController()
  const first = await openRepository('tests/tiny', { cache_dir: cache, signal: aborted.signal })
  const second = await openRepository('tests/tiny', { cache_dir: cache })
  const gone = bytesOf(first, 'model.safetensors')
  const there = bytesOf(second, 'model.safetensors')
  setTimeout(() => aborted.abort(new Error('enough')), 20)
  await rejects(gone, Error, /^enough$/)
  assert.ok((await there).equals(WEIGHTS))
})

test.run()
