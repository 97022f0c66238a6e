// wllama (llama.cpp in WebAssembly) on SmolLM2, in a Chromium whose page is isolated so that it may have threads.
//   node benchmarks/peers/wllama.mjs [--threads N] [--seconds 1]      (CHROMIUM: the browser, else `chromium`)
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { chromium } from 'playwright-core'
import { DECODE, models, options, PREFILL, report } from '../measure.mjs'

const { threads, seconds } = options()
const golden = JSON.parse(await readFile(new URL('../../tests/golden/real/smollm2.json', import.meta.url), 'utf8'))
const text = golden.passage.slice(0, Math.round((golden.passage.length * PREFILL) / golden.ids.length))

const files = {
  '/wllama.js': new URL('node_modules/@wllama/wllama/esm/index.js', import.meta.url),
  '/wllama.wasm': new URL('node_modules/@wllama/wllama/esm/wasm/wllama.wasm', import.meta.url),
  '/model.gguf': models.smollm2,
}
const types = { js: 'text/javascript', wasm: 'application/wasm' }
const server = createServer((request, response) => {
  const isolated = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }
  const type = types[request.url.split('.').pop()] ?? (request.url === '/' ? 'text/html' : 'application/octet-stream')
  const known = request.url === '/' || files[request.url]
  response.writeHead(known ? 200 : 404, { ...isolated, 'Content-Type': type })
  if (files[request.url]) createReadStream(files[request.url]).pipe(response)
  else response.end()
})
await new Promise((done) => server.listen(0, '127.0.0.1', done))

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
})
try {
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${server.address().port}/`)
  const fastest = await page.evaluate(measure, { text, threads, seconds, tokens: DECODE })
  for (const work of ['prefill', 'decode'])
    report({ who: 'wllama', work, threads, value: fastest[work], unit: 'tok/s' })
} finally {
  await browser.close()
  server.close()
}

/** Runs in the page. The figures are the ones that wllama itself gives with an answer. */
async function measure({ text, threads, seconds, tokens }) {
  if (!crossOriginIsolated) throw new Error('the page is not isolated: wllama would have one thread')
  const { Wllama, LoggerWithoutDebug } = await import('/wllama.js')
  const wllama = new Wllama({ default: '/wllama.wasm' }, { logger: LoggerWithoutDebug })
  const blob = await (await fetch('/model.gguf')).blob()
  await wllama.loadModel([blob], { n_ctx: 1024, n_batch: 512, n_threads: threads, n_gpu_layers: 0 })
  const fastest = { prefill: 0, decode: 0 }
  const until = performance.now() + seconds * 1000
  for (let runs = 0; runs < 2 || performance.now() < until; runs++) {
    const { timings } = await wllama.createCompletion({
      prompt: text,
      max_tokens: tokens,
      temperature: 0,
      cache_prompt: false,
    })
    if (timings.prompt_n < 230 || timings.predicted_n < tokens)
      throw new Error(`unexpected: ${JSON.stringify(timings)}`)
    fastest.prefill = Math.max(fastest.prefill, timings.prompt_per_second)
    fastest.decode = Math.max(fastest.decode, timings.predicted_per_second)
  }
  await wllama.exit()
  return fastest
}
