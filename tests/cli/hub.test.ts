// login, logout, whoami, download and cache on the command line, as processes against a local Hub.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { REPOSITORIES, WEIGHTS } from '../hub/repositories.ts'
import { type Hub, startHub } from '../hub/server.ts'

const cli = 'build/tests/rushlight-cli.mjs' // tests/run.mjs makes it
const home = mkdtempSync(join(tmpdir(), 'rushlight-cli-'))
let hub: Hub
test.before(async () => {
  hub = await startHub({ repositories: REPOSITORIES })
})
test.after(async () => {
  await hub.close()
  rmSync(home, { recursive: true, force: true })
})

interface Result {
  code: number
  out: string
  err: string
}

/** Runs the command line with its home in a directory of this test. */
function run(args: string[], input = ''): Promise<Result> {
  const env = { PATH: process.env.PATH, HF_HOME: home, HF_ENDPOINT: hub.url, HF_HUB_DISABLE_PROGRESS_BARS: '0' }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [cli, ...args], { env }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    )
    child.stdin!.end(input)
  })
}

/** Fails with one line that the pattern fits. */
async function fails(args: string[], pattern: RegExp, input?: string): Promise<void> {
  const { code, out, err } = await run(args, input)
  assert.is(code, 1, args.join(' '))
  assert.is(out, '')
  assert.match(err, /^rushlight: [^\n]+\n$/)
  assert.match(err, pattern)
}

test('each command has its help', async () => {
  for (const command of ['login', 'logout', 'whoami', 'download', 'cache'])
    assert.match((await run([command, '--help'])).out, new RegExp(`^Usage: rushlight ${command}`))
})

test('login keeps a token that the Hub knows where Python looks for it, for its owner alone', async () => {
  await fails(['whoami'], /there is none.*rushlight login/)
  await fails(['login'], /does not know this token/, 'hf_wrong\n')
  await fails(['login'], /the token is empty/, '\n')
  assert.equal(await run(['login'], 'hf_test\n'), { code: 0, out: 'Logged in as tester\n', err: '' })
  assert.is(readFileSync(join(home, 'token'), 'utf8'), 'hf_test')
  assert.is(statSync(join(home, 'token')).mode & 0o777, 0o600)
  assert.is((await run(['whoami'])).out, 'tester\n')
  const secret = await run(['download', 'tests/private', 'config.json'])
  assert.is(readFileSync(secret.out.trim(), 'utf8'), '{"secret": true}')
  assert.is((await run(['logout'])).out, 'Logged out\n')
  assert.is((await run(['logout'])).out, 'There was no login\n')
  assert.is((await run(['login', '--token', 'hf_test'])).code, 0)
  await run(['logout'])
})

test('download prints where the files are, and is silent without a terminal', async () => {
  const { code, out, err } = await run(['download', 'tests/tiny'])
  assert.is(code, 0, err)
  assert.is(err, '')
  const folder = out.trim()
  assert.is(folder, join(home, 'hub/models--tests--tiny/snapshots', hub.commit('tests/tiny')))
  assert.ok(readFileSync(join(folder, 'model.safetensors')).equals(WEIGHTS))
  const chosen = await run(['download', 'tests/tiny', '--revision', 'refs/pr/1', '--include', '*.json'])
  assert.is(readFileSync(join(chosen.out.trim(), 'config.json'), 'utf8'), '{"model_type": "bert"}')
  await fails(['download'], /the repository is missing/)
  await fails(['download', 'tests/none'], /tests\/none.*: the Hub has no such repository/)
  await fails(['download', 'tests/tiny', 'nothing.bin'], /nothing\.bin.*no such file/)
  await fails(['download', 'tests/tiny', '--nonsense'], /nonsense/)
})

test('cache list shows what is there, and cache clean removes it', async () => {
  const { out } = await run(['cache', 'list'])
  assert.match(out, /^NAME +SIZE +FILES +MODIFIED +REVISIONS\n/)
  assert.match(out, /\ntests\/tiny +370 kB +6 +\d{4}-\d\d-\d\d +.*main/)
  await fails(['cache', 'clean', 'tests/none'], /the cache has no tests\/none/)
  await fails(['cache', 'sweep'], /expected list or clean/)
  const blobs = join(home, 'hub/models--tests--tiny/blobs')
  const partial = join(blobs, `${'a'.repeat(64)}.rushlight.incomplete`)
  writeFileSync(partial, 'some')
  assert.match((await run(['cache', 'clean', '-y'])).out, /nothing to remove/)
  const before = new Date(Date.now() - 7_200_000)
  utimesSync(partial, before, before)
  assert.match((await run(['cache', 'clean', '-y'])).out, /aaa\.rushlight\.incomplete\n4 B freed\n$/)
  assert.match((await run(['cache', 'clean', 'tests/tiny', '--dry-run'])).out, /would be freed/)
  assert.ok(statSync(dirname(blobs)).isDirectory())
  assert.match((await run(['cache', 'clean', 'tests/tiny', '--yes'])).out, /models--tests--tiny\n.*freed/)
  assert.throws(() => statSync(dirname(blobs)), /ENOENT/)
})

test.run()
