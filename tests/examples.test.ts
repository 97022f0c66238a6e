// The examples run, as a user would run them, on the built package.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

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
