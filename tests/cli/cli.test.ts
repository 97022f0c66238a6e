// The command line, as a process: help, streaming, seeds, errors in one line.
import { spawn, spawnSync } from 'node:child_process'
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

const shakespeare = 'examples/train-shakespeare/model'
const generate = (...args: string[]) => run('generate', '--model', shakespeare, '--raw', ...args)

test('text comes in pieces as it is made, and is the same from any number of threads', () => {
  const { status, stdout, stderr } = generate('-n', '20', 'ROMEO')
  assert.is(status, 0, stderr)
  assert.ok(stdout.endsWith('\n') && stdout.length > 20 && !stdout.startsWith('ROMEO'), stdout)
  assert.match(stderr, /prompt of \d+ tokens at [\d.]+ tokens\/s, then [\d.]+ tokens\/s/)
  for (const threads of ['1', '2']) {
    const again = generate('-n', '20', '--threads', threads, '--quiet', 'ROMEO')
    assert.is(again.stdout, stdout)
    assert.is(again.stderr, '')
  }
  assert.is.not(generate('-n', '20', '-q', '--repetition-penalty', '3', 'ROMEO').stdout, stdout)
  assert.is(generate('-n', '20', '-q', '--top-k', '1', 'ROMEO').stdout, stdout, 'the best of one is the best')
  assert.is(generate('-n', '20', '-q', '--dtype', 'float32', 'ROMEO').status, 0)
  assert.match(generate('--dtype', 'float64', 'ROMEO').stderr, /dtype.*float64.*Supported/)
  assert.match(generate('--system', 'x', 'ROMEO').stderr, /--system needs a model with a chat template/)
})

test('the same seed gives the same text, another one another', () => {
  const sample = (seed: string) =>
    generate('-n', '24', '-q', '-t', '1.3', '--top-p', '0.95', '--seed', seed, 'ROMEO').stdout
  const first = sample('7')
  assert.is(sample('7'), first)
  assert.is.not(sample('8'), first)
})

test('Ctrl-C ends it in the middle, and what has been said stays said', async () => {
  const child = spawn(process.execPath, [cli, 'generate', '--model', shakespeare, '--raw', '-n', '100000', 'ROMEO'])
  let said = ''
  child.stdout.on('data', (piece: Buffer) => {
    said += piece
    child.kill('SIGINT')
  })
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on('exit', (code, signal) => resolve([code, signal])),
  )
  assert.ok(signal === 'SIGINT' || code === 130, `${code} ${signal}`)
  assert.ok(said.length > 0)
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
  refused(/no-such-folder/, 'generate', '--model', './no-such-folder', 'hello')
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
