// Which token is sent, and what login, logout and whoami make of it.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  env,
  get_token,
  HfHubHTTPError,
  login,
  logout,
  notebook_login,
  openRepository,
  set_verbosity,
  whoami,
} from '../../src/hub/index.ts'
import { RushlightError } from '../../src/util/errors.ts'
import { rejects, withEnvironment } from './helpers.ts'
import { REPOSITORIES } from './repositories.ts'
import { type Hub, startHub } from './server.ts'

let hub: Hub
let home: string
const inHome = <R>(fn: () => R, more: Record<string, string> = {}) =>
  withEnvironment(
    { HF_HOME: home, HF_TOKEN: undefined, HF_TOKEN_PATH: undefined, HF_HUB_CACHE: undefined, ...more },
    fn,
  )
test.before(async () => {
  hub = await startHub({ repositories: REPOSITORIES, tokens: { hf_test: 'tester', hf_other: 'other' } })
  env.remoteHost = hub.url
  set_verbosity('error')
})
test.after(() => hub.close())
test.before.each(() => {
  home = mkdtempSync(join(tmpdir(), 'rushlight-login-'))
  hub.requests.length = 0
})
test.after.each(() => rmSync(home, { recursive: true, force: true }))

test('a login is kept for its owner, as Python keeps it, and found again', () =>
  inHome(async () => {
    await rejects(whoami(), RushlightError, /there is none.*rushlight login/)
    assert.is((await login('  hf_test\n')).name, 'tester')
    assert.is(readFileSync(join(home, 'token'), 'utf8'), 'hf_test')
    assert.is(statSync(join(home, 'token')).mode & 0o777, 0o600)
    assert.is((await whoami()).name, 'tester')
    assert.is((await whoami({ token: 'hf_other' })).name, 'other')
    assert.equal(await (await openRepository('tests/private')).json('config.json'), { secret: true })
    assert.is(logout(), true)
    assert.is(logout(), false)
    assert.is(get_token(), undefined)
  }))

test('a file that others could read is closed to them; a wrong token is not kept and not shown', () =>
  inHome(async () => {
    writeFileSync(join(home, 'token'), 'old', { mode: 0o644 })
    const error = await rejects(login('hf_nonsense'), HfHubHTTPError, /does not know this token/)
    assert.not.match(`${error.message}${error.stack}`, 'nonsense')
    assert.is(get_token(), 'old')
    await login({ token: 'hf_test' })
    assert.is(statSync(join(home, 'token')).mode & 0o777, 0o600)
    await rejects(login('two words'), RushlightError, /^token: expected letters and digits, found other characters/)
  }))

test('the option comes before HF_TOKEN, HF_TOKEN before the file; false sends none', async () => {
  writeFileSync(join(home, 'elsewhere'), 'hf_other\n')
  const path = { HF_TOKEN_PATH: join(home, 'elsewhere') }
  const sent = async (token?: string | boolean) => {
    await (await openRepository('tests/tiny', { token })).has('config.json')
    return hub.requests.at(-1)?.headers.authorization?.replace('Bearer ', '')
  }
  await inHome(async () => {
    assert.is(await sent(), 'hf_other')
    assert.is(await sent('hf_test'), 'hf_test')
    assert.is(await sent(false), undefined)
  }, path)
  await inHome(async () => assert.is(await sent(), 'hf_test'), { ...path, HF_TOKEN: 'hf_test' })
  await inHome(
    async () => {
      assert.is(await sent(), undefined)
      assert.is(await sent(true), 'hf_other')
    },
    { ...path, HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' },
  )
  await inHome(() => rejects(openRepository('tests/tiny', { token: true }), RushlightError, /token: true asks for/))
})

test('a notebook asks by its prompt, and where nobody answers an error says so', () =>
  inHome(async () => {
    const { prompt } = globalThis
    try {
      Object.assign(globalThis, { prompt: () => 'hf_test' })
      assert.is((await notebook_login()).name, 'tester')
      Object.assign(globalThis, { prompt: () => null })
      await rejects(login(), RushlightError, /token is empty/)
      Object.assign(globalThis, { prompt: undefined })
      await rejects(login(), RushlightError, /nobody to ask.*--token/)
    } finally {
      Object.assign(globalThis, { prompt })
    }
  }))

test.run()
