// The cache shared with Python in both directions, and a file that both download at once. Not part of the suite, since it needs Python:
//   RUSHLIGHT_PYTHON=path/to/python node tests/hub/with-python.mjs            checks
//   RUSHLIGHT_PYTHON=path/to/python node tests/hub/with-python.mjs --golden   writes tests/golden/hub/python.json
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as esbuild from 'esbuild'
import { bundleOptions } from '../../build.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const python = process.env.RUSHLIGHT_PYTHON
if (!python) throw new Error('RUSHLIGHT_PYTHON must name a Python with huggingface_hub')

/** Runs a script; gives what it printed. The server runs in this process, so nothing may block it. */
function run(script, ...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(python, [join(here, script), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (piece) => (text += piece))
    child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`${script} failed`))))
  })
}

/** Bundles parts of the sources into one module. */
async function load(folder, name) {
  const outfile = join(folder, `${name.replace(/\W/g, '-')}.mjs`)
  const options = { ...bundleOptions, splitting: false, platform: 'node' }
  await esbuild.build({ ...options, entryPoints: [join(here, name)], outfile })
  return import(pathToFileURL(outfile))
}

const folder = mkdtempSync(join(tmpdir(), 'rushlight-with-python-'))
const { startHub } = await load(folder, 'server.ts')
const { REPOSITORIES, WEIGHTS } = await load(folder, 'repositories.ts')
const { download } = await load(folder, 'downloads.ts')
const rushlight = await load(folder, '../../src/hub/index.ts')
const hub = await startHub({ repositories: REPOSITORIES })
try {
  const theirs = join(folder, 'python')
  const described = await run('../golden/make_hub.py', hub.url, theirs)
  if (process.argv.includes('--golden')) {
    writeFileSync(join(here, '../golden/hub/python.json'), described)
  } else {
    rushlight.env.remoteHost = hub.url
    const ours = join(folder, 'rushlight')
    await download(rushlight, ours)
    process.stdout.write(await run('with_python.py', hub.url, ours))

    // What Python wrote: read without a request.
    hub.requests.length = 0
    const options = { cache_dir: theirs, local_files_only: true }
    for (const file of Object.keys(REPOSITORIES['tests/tiny'].files)) {
      const path = await rushlight.hf_hub_download('tests/tiny', file, options)
      const { content = REPOSITORIES['tests/tiny'].files[file] } = REPOSITORIES['tests/tiny'].files[file]
      assert.deepEqual(readFileSync(path), Buffer.from(content))
    }
    assert.equal(
      rushlight.try_to_load_from_cache('tests/tiny', 'none.json', { cache_dir: theirs }),
      rushlight._CACHED_NO_EXIST,
    )
    const { repos, warnings } = rushlight.scan_cache_dir(theirs)
    assert.deepEqual([repos.map(({ repo_id }) => repo_id), warnings], [['solo', 'tests/private', 'tests/tiny'], []])
    assert.equal(hub.requests.length, 0)
    console.log('rushlight reads what huggingface_hub wrote')

    // Both at once, the server slow enough for that.
    let together = 0
    for (let round = 0; round < 3; round++) {
      const both = join(folder, `both-${round}`)
      hub.requests.length = 0
      hub.faults.splice(0, hub.faults.length, { origin: 'files', slow: 20 })
      const other = run('../golden/make_hub.py', hub.url, both)
      await new Promise((resolve) => setTimeout(resolve, 300 + 200 * round))
      const path = await rushlight.hf_hub_download('tests/tiny', 'model.safetensors', { cache_dir: both })
      assert.deepEqual(readFileSync(path), Buffer.from(WEIGHTS))
      await other
      assert.deepEqual(readFileSync(path), Buffer.from(WEIGHTS))
      const address = readlinkSync(path).replace(/^.*\//, '/')
      if (hub.requests.filter(({ method, path }) => method === 'GET' && path === address).length > 1) together++
      const left = readdirSync(join(both, 'models--tests--tiny/blobs')).filter((name) => name.endsWith('.incomplete'))
      assert.deepEqual(left, [])
    }
    assert.ok(together > 0, 'one was always done before the other began')
    console.log(`both downloaded the same file at the same time, in ${together} of 3 rounds`)
  }
} finally {
  await hub.close()
  rmSync(folder, { recursive: true, force: true })
}
