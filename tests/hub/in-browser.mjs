// The Hub in a real browser, where fetch hides redirects and Cache Storage keeps files.      node tests/hub/in-browser.mjs
// Starts a local Hub, serves a page, and lets a headless Chromium (CHROMIUM: the program, else `chromium`) do what `inPage` says.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as esbuild from 'esbuild'
import { bundleOptions } from '../../build.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const out = join(root, 'build/tests-browser')
await esbuild.build({
  ...bundleOptions,
  platform: 'node',
  entryPoints: ['tests/hub/server.ts', 'tests/hub/repositories.ts'],
  outdir: out,
  outExtension: { '.js': '.mjs' },
})
const { outputFiles } = await esbuild.build({
  ...bundleOptions,
  splitting: false,
  write: false,
  entryPoints: ['src/hub/index.ts'],
})
const { startHub } = await import(pathToFileURL(join(out, 'server.mjs')).href)
const { randomBytes, REPOSITORIES, WEIGHTS } = await import(pathToFileURL(join(out, 'repositories.mjs')).href)

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
const damaged = randomBytes(50_000, 2)
const cut = randomBytes(400_000, 3)
const hub = await startHub({
  repositories: {
    ...REPOSITORIES,
    'tests/faulty': {
      files: { 'damaged.bin': { content: damaged, lfs: true }, 'cut.bin': { content: cut, lfs: true } },
    },
  },
  faults: [
    { path: sha256(damaged), content: randomBytes(50_000, 4) },
    { path: sha256(cut), dropAfter: 150_000, times: 1 },
  ],
})

/** What the page does: it gives what it found. */
async function inPage(hub) {
  const { env, openRepository } = await import('/hub.js')
  env.remoteHost = hub
  Object.assign(env.retries, { base: 1, most: 4 })
  const hash = async (repository, file) => {
    const source = await repository.open(file)
    const bytes = new Uint8Array(source.size)
    await source.readInto(bytes, 0)
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
  }
  const errorOf = (promise) =>
    promise.then(
      () => 'none',
      (error) => `${error.name}: ${error.message}`,
    )
  const found = {}
  const tiny = await openRepository('tests/tiny')
  found.config = await tiny.json('config.json')
  found.has = [await tiny.has('model.safetensors'), await tiny.has('none.bin')]
  found.size = await tiny.size('model.safetensors')
  found.weights = await hash(tiny, 'model.safetensors')
  found.again = await hash(await openRepository('tests/tiny'), 'model.safetensors')
  found.secret = await (await openRepository('tests/private', { token: 'hf_test' })).json('config.json')
  found.secretWeights = await hash(await openRepository('tests/private', { token: 'hf_test' }), 'model.bin')
  found.gated = await errorOf(openRepository('tests/gated'))
  const faulty = await openRepository('tests/faulty')
  found.cut = await hash(faulty, 'cut.bin')
  found.damaged = await errorOf(hash(faulty, 'damaged.bin'))
  env.allowRemoteModels = false
  const offline = await openRepository('tests/tiny')
  found.offline = await hash(offline, 'model.safetensors')
  found.notKept = await errorOf(openRepository('tests/faulty').then((one) => one.open('damaged.bin')))
  env.allowLocalModels = true
  found.local = await (await openRepository('mine/own')).json('config.json')
  return found
}

let told
const answer = new Promise((resolve) => (told = resolve))
const pages = {
  '/': [
    'text/html',
    `<script type="module">
    const result = await (${inPage})('${hub.url}').catch((error) => ({ failed: String(error?.stack ?? error) }))
    await fetch('/told', { method: 'POST', body: JSON.stringify(result) })
  </script>`,
  ],
  '/hub.js': ['text/javascript', outputFiles[0].text],
  '/models/mine/own/config.json': ['application/json', '{"local":true}'],
}
const server = createServer(async (request, response) => {
  if (request.url === '/told') {
    let text = ''
    for await (const piece of request) text += piece
    told(JSON.parse(text))
  }
  const [type, text] = pages[request.url] ?? ['text/plain', '']
  response.writeHead(pages[request.url] || request.url === '/told' ? 200 : 404, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
})
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const profile = await mkdtemp(join(tmpdir(), 'rushlight-chromium-'))
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`]
const browser = spawn(process.env.CHROMIUM ?? 'chromium', [...flags, `http://127.0.0.1:${server.address().port}/`], {
  stdio: 'ignore',
})
const ended = new Promise((resolve, reject) => {
  browser.on('error', reject)
  browser.on('exit', (code) => reject(new Error(`the browser ended with ${code}`)))
  setTimeout(() => reject(new Error('the page said nothing for a minute')), 60_000).unref()
})
ended.catch(() => {})
try {
  const found = await Promise.race([answer, ended])
  const requests = hub.requests.map(({ method, path, origin, headers }) => ({
    method,
    path,
    origin,
    token: headers.authorization,
    asked: headers['access-control-request-headers'],
  }))
  const expected = { weights: sha256(WEIGHTS), cut: sha256(cut), secretWeights: sha256(WEIGHTS.subarray(0, 1000)) }
  console.log(JSON.stringify({ found, expected, requests }))
} finally {
  const gone = browser.pid && new Promise((resolve) => browser.once('exit', resolve)) // one that never began never ends
  browser.kill()
  await Promise.all([gone, hub.close()])
  server.close()
  server.closeAllConnections()
  await rm(profile, { recursive: true, force: true, maxRetries: 5 })
}
