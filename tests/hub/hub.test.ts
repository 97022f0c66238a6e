// Repositories of the Hub: downloads, the cache, faults of the server.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { env, openRepository } from '../../src/hub/index.ts'
import { readBytes } from '../../src/io/source.ts'
import { REPOSITORIES, WEIGHTS } from './repositories.ts'
import { type Hub, startHub } from './server.ts'

let hub: Hub
let cache: string
test.before(async () => {
  hub = await startHub({ repositories: REPOSITORIES })
  env.remoteHost = hub.url
  Object.assign(env.retries, { base: 1, most: 4 })
})
test.after(() => hub.close())
test.before.each(() => {
  cache = mkdtempSync(join(tmpdir(), 'rushlight-hub-'))
  hub.faults.length = hub.requests.length = 0
})
test.after.each(() => rmSync(cache, { recursive: true, force: true }))

const bytesOf = async (repository: Awaited<ReturnType<typeof openRepository>>, file: string) => {
  const source = await repository.open(file)
  try {
    return Buffer.from(await readBytes(source, 0, source.size))
  } finally {
    await source.close()
  }
}

test('a repository by its name reads as a directory does', async () => {
  const repository = await openRepository('tests/tiny', { cache_dir: cache })
  assert.is(await repository.has('config.json'), true)
  assert.is(await repository.has('no.json'), false)
  assert.is(await repository.size('model.safetensors'), WEIGHTS.length)
  assert.ok(!hub.requests.some(({ method }) => method === 'GET'), 'nothing was downloaded so far')
  assert.equal(await repository.json('config.json'), { model_type: 'llama' })
  assert.ok((await bytesOf(repository, 'model.safetensors')).equals(WEIGHTS))
  const folder = join(cache, 'models--tests--tiny')
  assert.is(readFileSync(join(folder, 'refs/main'), 'utf8'), hub.commit('tests/tiny'))
})

test.run()
