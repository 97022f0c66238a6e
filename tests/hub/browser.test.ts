// A real browser reads repositories of the Hub, and keeps them in its Cache Storage.
import { execFile } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

interface Outcome {
  found: Record<string, unknown>
  expected: { weights: string; cut: string; secretWeights: string }
  requests: { method: string; path: string; origin: string; token?: string; asked?: string }[]
}

const { outcome, error } = await new Promise<{ outcome?: Outcome; error?: string }>((resolve) =>
  execFile(process.execPath, ['tests/hub/in-browser.mjs'], { maxBuffer: 1 << 24 }, (error, stdout, stderr) =>
    resolve(error ? { error: stderr } : { outcome: JSON.parse(stdout) }),
  ),
)
function result(): Outcome {
  if (!outcome) throw new Error(error)
  return outcome
}

const absent = error?.includes('ENOENT')
if (absent) console.log('SKIP the Hub in a browser: no chromium. Hint: apt-get install chromium, or CHROMIUM=…')
const check = absent ? test.skip : test

check('files come whole, are kept, and are checked', () => {
  const { found, expected } = result()
  assert.is(found.failed, undefined)
  assert.equal(found.config, { model_type: 'llama' })
  assert.equal(found.has, [true, false])
  assert.is(found.size, 300_000)
  for (const name of ['weights', 'again', 'offline']) assert.is(found[name], expected.weights, name)
  assert.equal(found.secret, { secret: true })
  assert.is(found.secretWeights, expected.secretWeights)
  assert.match(String(found.gated), /^GatedRepoError: tests\/gated/)
  assert.is(found.cut, expected.cut, 'in spite of a cut')
  assert.match(String(found.damaged), /^CorruptDownloadError: tests\/faulty\/damaged\.bin: sha256: expected/)
  assert.match(String(found.notKept), /^LocalEntryNotFoundError/)
  assert.equal(found.local, { local: true })
})

check('sizes and hashes come from the API, each file is requested once, and the token stays at home', () => {
  const { requests } = result()
  assert.ok(requests.some(({ method, path }) => method === 'POST' && path.includes('/paths-info/')))
  const weights = requests.filter(({ method, path }) => method === 'GET' && /tests\/tiny.*safetensors/.test(path))
  assert.is(weights.length, 1)
  for (const { origin, token, asked } of requests) {
    if (origin === 'files') assert.is(token, undefined)
    assert.not.match(asked ?? '', /user-agent/, 'a Hub need not allow this')
  }
})

test.run()
