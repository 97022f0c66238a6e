// The cache on disk against the one that huggingface_hub made of the same downloads (tests/golden/make_hub.py): name by name, link by link.
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as rushlight from '../../src/hub/index.ts'
import { download } from './downloads.ts'
import { REPOSITORIES } from './repositories.ts'
import { startHub } from './server.ts'

type Entry = { link: string } | { text: string } | { size: number } | { begins: string }

function treeOf(cache: string): Record<string, Entry> {
  const describe = (key: string): Entry => {
    const path = join(cache, key)
    if (lstatSync(path).isSymbolicLink()) return { link: readlinkSync(path) }
    const bytes = readFileSync(path)
    if (key === 'CACHEDIR.TAG') return { begins: `${bytes.toString().split('\n')[0]}\n` }
    return bytes.length <= 100 ? { text: bytes.toString() } : { size: bytes.length }
  }
  const keys = readdirSync(cache, { recursive: true, encoding: 'utf8' })
    .filter((key) => !lstatSync(join(cache, key)).isDirectory())
    .sort()
  return Object.fromEntries(keys.map((key) => [key.replaceAll('\\', '/'), describe(key)]))
}

test('the same downloads leave the same tree as Python', async () => {
  const cache = mkdtempSync(join(tmpdir(), 'rushlight-hub-'))
  const hub = await startHub({ repositories: REPOSITORIES })
  rushlight.env.remoteHost = hub.url
  try {
    await download(rushlight, cache)
    const { tree } = JSON.parse(readFileSync('tests/golden/hub/python.json', 'utf8')) as { tree: Record<string, Entry> }
    assert.ok(Object.keys(tree).length > 15)
    assert.equal(treeOf(cache), tree)
  } finally {
    await hub.close()
    rmSync(cache, { recursive: true, force: true })
  }
})

test.run()
