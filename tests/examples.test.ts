// The examples run, as a user would run them, on the built package.
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startHub } from './hub/server.ts'

function run(script: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' })
  assert.is(status, 0, stderr)
  return stdout
}

if (existsSync('dist/index.js')) {
  test('the demo streams text and says how fast', () => {
    const out = run('examples/demo.mjs')
    assert.match(out, /million parameters, loaded in \d+ ms/)
    assert.match(out, /ROMEO:\nWhat light is this,[\s\S]{200,}/)
    assert.match(out, /\d+ tokens per second, \d+ MiB at most/)
  })

  test('the quickstart, from a Hub, and then without one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'rushlight-quickstart-'))
    const model = 'examples/train-shakespeare/model'
    const files = Object.fromEntries(
      readdirSync(model).map((file) => [
        file,
        { content: readFileSync(join(model, file)), lfs: file.endsWith('.safetensors') },
      ]),
    )
    const hub = await startHub({ repositories: { 'HuggingFaceTB/SmolLM2-135M-Instruct': { files } } })
    const quickstart = async (more: Record<string, string>) => {
      const env = { ...process.env, HF_ENDPOINT: hub.url, HF_HOME: folder, ...more }
      const { stdout } = await promisify(execFile)(process.execPath, ['examples/quickstart.mjs'], { env })
      return stdout.split('The secret to baking a good cake is ')
    }
    try {
      const [nothing, first, second] = await quickstart({})
      assert.is(nothing, '')
      assert.ok(first.length > 10 && second.length > first.length, `${first}${second}`)
      const asked = hub.requests.length
      assert.ok(asked > 0)
      assert.is((await quickstart({ HF_HUB_OFFLINE: '1' })).length, 3)
      assert.is(hub.requests.length, asked, 'the second time everything comes from the cache')
    } finally {
      await hub.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('training goes on from its checkpoint as if it had not stopped', () => {
    const folder = mkdtempSync(join(tmpdir(), 'rushlight-train-'))
    const train = (name: string, steps: number, plan: number) =>
      run(
        'examples/train-shakespeare/train.mjs',
        '--steps',
        `${plan}`,
        '--stop',
        `${steps}`,
        '--tiny',
        '--checkpoint',
        join(folder, name),
        '--out',
        join(folder, `${name}-model`),
      )
    train('whole', 4, 4)
    train('parts', 2, 4)
    train('parts', 4, 4)
    const state = (name: string) =>
      JSON.parse(readFileSync(join(folder, name, 'state.json'), 'utf8')) as {
        step: number
        history: { bits: number }[]
        file: string
      }
    assert.is(state('parts').step, 4)
    assert.equal(
      readFileSync(join(folder, 'parts', state('parts').file)),
      readFileSync(join(folder, 'whole', state('whole').file)),
      'weights and optimizer state',
    )
    rmSync(folder, { recursive: true, force: true })
  })
} else test.skip('examples: dist is not built. Hint: npm run build', () => {})

test.run()
