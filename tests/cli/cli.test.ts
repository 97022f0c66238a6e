// The command line, as a process: help, streaming, seeds, errors in one line.
import { spawnSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const cli = 'build/tests/rushlight-cli.mjs' // tests/run.mjs makes it

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
    encoding: 'utf8',
    env: { ...process.env, RUSHLIGHT_DEBUG: '' },
  })
  return { status, stdout, stderr }
}
const model = 'tests/golden/models/llama-mha'

test('help says what there is', () => {
  const { status, stdout } = run('--help')
  assert.is(status, 0)
  assert.match(stdout, /generate {2,}stream text/)
  assert.match(run('generate', '--help').stdout, /--top-p X[\s\S]*--threads N/)
  assert.match(run('--version').stdout, /^\S+\n$/)
})

test('errors are one clear line and exit code 1', () => {
  const refused = (words: RegExp, ...args: string[]) => {
    const { status, stdout, stderr } = run(...args)
    assert.is(status, 1, `${args.join(' ')}: ${stdout}`)
    assert.is(stderr.trim().split('\n').length, 1, stderr)
    assert.match(stderr, words)
  }
  refused(/there is no command 'generat'.*Hint: rushlight --help/, 'generat')
  refused(/--model is missing/, 'generate', 'hello')
  refused(/the prompt is missing/, 'generate', '--model', model)
  refused(/no-such-folder/, 'generate', '--model', 'no-such-folder', 'hello')
  refused(/no-such\.gguf/, 'generate', '--model', 'no-such.gguf', 'hello')
  refused(
    /--temperature: expected a number, found 'warm'/,
    'generate',
    '--model',
    model,
    '--temperature',
    'warm',
    'hello',
  )
  refused(/--tempratur/, 'generate', '--model', model, '--tempratur', '1', 'hello')
  refused(/threads: expected a whole number/, 'generate', '--model', model, '--threads', '0', 'hello')
  refused(/LICENSE/, 'generate', '--model', 'LICENSE', 'hello')
})

test.run()
