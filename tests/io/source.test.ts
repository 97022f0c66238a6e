// Sources of bytes: files, blobs, memory and HTTP ranges give the same bytes, and say what is wrong.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  blobSource,
  type ByteSource,
  bytesSource,
  LocalRepository,
  MemoryRepository,
  openFile,
  openUrl,
  readBytes,
} from '../../src/io/index.ts'
import { duplicateKey, parseJson } from '../../src/util/json.ts'
import { refuses } from './files.ts'

const content = new Uint8Array(5_000_003).map((_, i) => i * 31 + (i >> 8))
const folder = mkdtempSync(join(tmpdir(), 'rushlight-'))
const path = join(folder, 'content.bin')
writeFileSync(path, content)
process.on('exit', () => rmSync(folder, { recursive: true }))

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** Serves one file while `run` runs; counts requests. */
async function served<R>(answer: Answer, run: (url: string, requests: string[]) => Promise<R>): Promise<R> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(request.headers.range ?? '')
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    return await run(
      `http://127.0.0.1:${(server.address() as AddressInfo).port}/some/content.bin?token=secret`,
      requests,
    )
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const ranges: Answer = (request, response) => {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')![1])
  response.writeHead(206, { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}`, etag: '"1"' })
  response.end(content.subarray(start))
}

async function fails(run: () => Promise<unknown>, pattern: RegExp): Promise<void> {
  const message = await run().then(
    () => 'nothing was thrown',
    (error) => error.message,
  )
  assert.match(message, pattern)
}

async function checkSource(source: ByteSource): Promise<void> {
  assert.is(source.size, content.length)
  for (const [offset, length] of [
    [0, 8],
    [1000, 100],
    [500, 0],
    [4_999_000, 1003],
    [3, 4_999_999],
    [0, content.length],
    [content.length, 0],
  ])
    assert.ok(
      Buffer.compare(await readBytes(source, offset, length), content.subarray(offset, offset + length)) === 0,
      `${offset}, ${length}`,
    )
  const shared = new Uint8Array(new SharedArrayBuffer(4096), 1024, 2048)
  await source.readInto(shared, 77)
  assert.ok(Buffer.compare(shared, content.subarray(77, 77 + 2048)) === 0)
  assert.is(
    new Uint8Array(shared.buffer)[1023] + new Uint8Array(shared.buffer)[3072],
    0,
    'nothing beside it is written',
  )
  for (const [offset, length] of [
    [content.length, 1],
    [-1, 1],
    [0, 2 ** 40],
    [2 ** 53, 0],
    [0.5, 1],
  ])
    await fails(() => readBytes(source, offset, length), /a range inside its 5000003 bytes/)
  await source.close()
  await source.close()
}

test('memory', () => checkSource(bytesSource(content)))
test('a blob', () => checkSource(blobSource(new Blob([content.subarray(0, 100), content.subarray(100)]))))
test('a file', async () => checkSource(await openFile(path)))
test('a server', () => served(ranges, async (url) => checkSource(await openUrl(url))))

test('a view is asked for anew as the memory grows', async () => {
  const memory = new WebAssembly.Memory({ initial: 80, maximum: 200 })
  const source = await openFile(path)
  let views = 0
  const reading = source.readInto(() => {
    views++
    return new Uint8Array(memory.buffer, 64, content.length)
  }, 0)
  memory.grow(20) // outdates every view made before
  await reading
  assert.ok(views > 2)
  assert.ok(Buffer.compare(new Uint8Array(memory.buffer, 64, content.length), content) === 0)
  await source.close()
})

test('reading forward takes one request', () =>
  served(ranges, async (url, requests) => {
    const source = await openUrl(url)
    await readBytes(source, 0, 1000)
    await readBytes(source, 1000, 500_000)
    await Promise.all([readBytes(source, 600_000, 1000), readBytes(source, 700_000, 1000)])
    assert.equal(requests, ['bytes=0-'])
    await readBytes(source, 4_000_000, 10)
    await readBytes(source, 5, 10)
    assert.equal(requests, ['bytes=0-', 'bytes=4000000-', 'bytes=5-'])
    await source.close()
  }))

test('what servers do wrong', async () => {
  const cases: [Answer, RegExp][] = [
    [(_, r) => r.writeHead(404).end('no'), /some\/content.bin: the server answers 404 Not Found/],
    [
      (_, r) => r.writeHead(206, { 'content-range': 'bytes 5-9/10' }).end('56789'),
      /bytes from 0 on were asked for.*bytes 5-9/,
    ],
    [(_, r) => r.writeHead(206, { 'content-range': 'bytes 0-9/*' }).end('0123456789'), /content-range bytes 0-9\/\*/],
    [(_, r) => r.writeHead(200, { 'transfer-encoding': 'chunked' }).end('0123456789'), /does not say how long/],
    [(_, r) => r.writeHead(416).end(), /answers 416/],
    [(_, r) => r.socket!.destroy(), /the transfer failed/],
  ]
  for (const [answer, pattern] of cases) await served(answer, (url) => fails(() => openUrl(url), pattern))
  await served(
    (_, r) => r.writeHead(404).end(),
    async (url) => fails(() => openUrl(url), /^(?!.*secret)/),
  )
})

test('a transfer that is cut, and a file that changes', async () => {
  const cut: Answer = (_, response) => {
    response.writeHead(206, { 'content-range': `bytes 0-99/100`, 'content-length': 100 })
    response.write('x'.repeat(60))
    setTimeout(() => response.socket?.destroy(), 20)
  }
  await served(cut, async (url) => {
    const source = await openUrl(url)
    await fails(() => readBytes(source, 0, 100), /the transfer failed|expected 100 bytes, found 60/)
  })
  const short: Answer = (_, response) =>
    response.writeHead(206, { 'content-range': 'bytes 0-99/100' }).end('x'.repeat(60))
  await served(short, async (url) => {
    const source = await openUrl(url)
    await refuses(() => readBytes(source, 0, 100), 'bytes 0 to 100', /expected 100 bytes, found 60/)
  })
  let version = 0
  const changing: Answer = (request, response) => {
    const start = Number(/\d+/.exec(request.headers.range!)![0])
    response
      .writeHead(206, { 'content-range': `bytes ${start}-99/100`, etag: `"${version++}"` })
      .end('x'.repeat(100 - start))
  }
  await served(changing, async (url) => {
    const source = await openUrl(url)
    await readBytes(source, 50, 50)
    await fails(() => readBytes(source, 10, 5), /changed while it was being read/)
  })
})

test('a server without ranges is read forward only', () =>
  served(
    (_, response) => response.writeHead(200, { 'content-length': content.length }).end(content),
    async (url) => {
      const source = await openUrl(url)
      assert.is(source.size, content.length)
      assert.equal(await readBytes(source, 500, 10), content.slice(500, 510))
      await fails(() => readBytes(source, 100, 10), /does not give ranges/)
    },
  ))

test('an empty file on a server', () =>
  served(
    (_, response) => response.writeHead(416, { 'content-range': 'bytes */0' }).end(),
    async (url) => assert.is((await openUrl(url)).size, 0),
  ))

test('an aborted transfer throws the reason', () =>
  served(
    (_, response) => void response.writeHead(206, { 'content-range': 'bytes 0-99/100' }).write('x'),
    async (url) => {
      const stop = new AbortController()
      const source = await openUrl(url, { signal: stop.signal })
      setTimeout(() => stop.abort(new Error('enough')), 20)
      await fails(() => readBytes(source, 0, 100), /^enough$/)
    },
  ))

test('files that are not there', async () => {
  await fails(() => openFile(join(folder, 'nothing')), /nothing: cannot be opened: no such file or directory/)
  await fails(() => openFile(folder), /expected a file, found a directory/)
  assert.throws(() => new LocalRepository(join(folder, 'nothing')), /no such file or directory/)
  assert.throws(() => new LocalRepository(path), /expected a directory, found a file/)
})

test('a repository: names, text, JSON', async () => {
  mkdirSync(join(folder, 'sub'))
  writeFileSync(join(folder, 'sub/a.json'), '{"x": Infinity, "y": [-Infinity, "Infinity", 1]}')
  writeFileSync(join(folder, 'bad.json'), '{')
  writeFileSync(join(folder, 'latin1.txt'), Uint8Array.of(0xe4))
  symlinkSync(join(folder, 'sub/a.json'), join(folder, 'link.json')) // as the hub's cache lays snapshots out
  const repository = new LocalRepository(folder)
  assert.ok(await repository.has('sub/a.json'))
  assert.not(await repository.has('sub/b.json'))
  assert.equal(await repository.json('sub/a.json'), {
    x: Number.POSITIVE_INFINITY,
    y: [Number.NEGATIVE_INFINITY, 'Infinity', 1],
  })
  assert.equal(await repository.json('link.json'), await repository.json('sub/a.json'))
  await refuses(() => repository.json('bad.json'), 'text', /JSON/)
  await refuses(() => repository.text('latin1.txt'), 'text', /UTF-8/)
  await fails(() => repository.open('nothing'), /nothing: cannot be opened/)
  for (const name of ['../x', '/etc/passwd', 'sub/../../x', '..', '.', '', 'a\\..\\b', 'C:/x', 'a\0']) {
    await fails(() => repository.open(name), /not the name of a file/)
    await fails(() => repository.has(name), /not the name of a file/)
  }
  const memory = new MemoryRepository([
    ['a.txt', 'text'],
    ['b.bin', new Blob(['blob'])],
  ])
  assert.is(await memory.text('a.txt'), 'text')
  assert.is(await memory.text('b.bin'), 'blob')
  await fails(() => memory.text('__proto__'), /no such file/)
})

test('JSON: keys that appear twice', () => {
  for (const text of ['{"a":1,"a":2}', '{"x":{"a":1,"b":[{"c":1}],"a" :2}}', '[{"a":"\\"","\\u0061":1}]'])
    assert.is(duplicateKey(text), 'a')
  for (const text of [
    '{}',
    '"a"',
    '[["a","a"],{"a":{"a":"a"}},{"a":"{\\"a\\":1,\\"a\\":1}"}]',
    '{"__proto__":1,"constructor":2}',
  ])
    assert.is(duplicateKey(text), undefined)
  assert.equal(parseJson('\ufeff{"a":"Infinity"}'), { a: 'Infinity' })
  assert.throws(() => parseJson('{Infinity:1}'), /JSON|Unexpected/)
})

test.run()
