// safetensors: what Python writes is read, what we write is what Python writes, and nothing false is believed.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  bytesSink,
  bytesSource,
  fileSink,
  LocalRepository,
  MemoryRepository,
  openFile,
  openSafetensors,
  openSafetensorsOf,
  type SafetensorsDType,
  type TensorToWrite,
  writeSafetensors,
  writeShardedSafetensors,
} from '../../src/io/index.ts'
import { FileError, UnsupportedOptionError } from '../../src/util/errors.ts'
import { realModel } from '../models/paths.ts'
import { checkConsistent, contentOf, golden, refuses, safetensorsFile, shrinking, written } from './files.ts'

const expected: Record<string, { dtype: string; shape: number[]; hex: string }> = JSON.parse(
  new TextDecoder().decode(golden('expected.json')),
).safetensors

const open = (bytes: Uint8Array) => openSafetensors(bytesSource(bytes, 'file'))
const f32 = (name: string, values: number[]): TensorToWrite => ({
  name,
  dtype: 'F32',
  shape: [values.length],
  data: () => new Uint8Array(Float32Array.from(values).buffer),
})

test("reads every dtype of Python's file", async () => {
  const file = await open(golden('types.safetensors'))
  assert.equal([...file.metadata], [['format', 'pt']])
  assert.equal(new Set(file.tensors.keys()), new Set(Object.keys(expected)))
  for (const [name, { dtype, shape, hex }] of Object.entries(expected)) {
    const tensor = file.tensors.get(name)!
    assert.is(tensor.type, dtype)
    assert.equal(tensor.shape, shape)
    assert.is(Buffer.from(await contentOf(tensor)).toString('hex'), hex, name)
  }
  checkConsistent(file)
})

test("writes, byte for byte, Python's file", async () => {
  const tensors = Object.entries(expected).map(([name, { dtype, shape, hex }]) => ({
    name,
    dtype: dtype as SafetensorsDType,
    shape,
    data: () => new Uint8Array(Buffer.from(hex, 'hex')),
  }))
  assert.equal(await written((sink) => writeSafetensors(sink, tensors)), golden('types.safetensors'))
})

test('an empty file of no tensors is read and written', async () => {
  assert.is((await open(safetensorsFile('{}'))).tensors.size, 0)
  assert.is((await open(await written((sink) => writeSafetensors(sink, [])))).tensors.size, 0)
})

test('header length: truncated files, and lengths past the end', async () => {
  for (const size of [0, 1, 7])
    await refuses(() => open(new Uint8Array(size)), 'file size', new RegExp(`at least 8 bytes, found ${size}`))
  await refuses(() => open(new Uint8Array(8)), 'header', /found nothing/)
  for (const length of [3n, 2n ** 31n, 2n ** 60n, 2n ** 64n - 1n])
    await refuses(
      () => open(safetensorsFile('{}', 0, length)),
      'header length',
      new RegExp(`at most 2 bytes, found ${length}`),
    )
})

test('header: text that is not UTF-8, not JSON, or not an object', async () => {
  await refuses(() => open(safetensorsFile(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d))), 'header', /UTF-8/)
  for (const text of ['{', '{"a":}', '{} x', '{"a":1,}', `{"a":${'['.repeat(100_000)}`])
    await refuses(() => open(safetensorsFile(text)), 'header', /JSON/)
  for (const text of ['[]', ' {}', '\ufeff{}', '1', '"{}"'])
    await refuses(() => open(safetensorsFile(text)), 'header', /'\{'/)
})

const u8 = (begin: number, end: number, more = '') =>
  `{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]${more}}`

test('header: a key that appears twice', async () => {
  await refuses(() => open(safetensorsFile(`{"a":${u8(0, 2)},"a":${u8(0, 2)}}`, 2)), 'header', /"a" twice/)
  await refuses(() => open(safetensorsFile(`{"a":${u8(0, 2)},"\\u0061" :${u8(0, 2)}}`, 2)), 'header', /"a" twice/)
  await refuses(() => open(safetensorsFile(`{"a":${u8(0, 2, ',"shape":[2]')}}`, 2)), 'header', /"shape" twice/)
  await refuses(() => open(safetensorsFile(`{"__metadata__":{"x":"1","x":"2"}}`)), 'header', /"x" twice/)
  const fine = await open(
    safetensorsFile(`{"a":${u8(0, 1)},"b":${u8(1, 2)},"shape":${u8(2, 3)},"x\\"y":${u8(3, 4)},"x":${u8(4, 5)}}`, 5),
  )
  assert.equal([...fine.tensors.keys()], ['a', 'b', 'shape', 'x"y', 'x'])
})

test('metadata and entries of the wrong kind', async () => {
  await refuses(() => open(safetensorsFile({ __metadata__: [] })), '__metadata__', /object/)
  await refuses(() => open(safetensorsFile({ __metadata__: { a: 1 } })), '__metadata__."a"', /a string, found 1/)
  await refuses(() => open(safetensorsFile({ a: null })), 'tensor "a"', /an object, found null/)
  const good = { dtype: 'F32', shape: [2], data_offsets: [0, 8] }
  const bad = (change: object, field: string, pattern: RegExp) =>
    refuses(() => open(safetensorsFile({ a: { ...good, ...change } }, 8)), `tensor "a": ${field}`, pattern)
  await bad({ dtype: 'F33' }, 'dtype', /BF16.*found "F33"/)
  await bad({ dtype: undefined }, 'dtype', /found undefined/)
  await bad({ dtype: 'constructor' }, 'dtype', /found "constructor"/)
  await bad({ shape: { length: 1 } }, 'shape', /list/)
  for (const size of [-1, 1.5, '2', null, 2 ** 53, 1e300])
    await bad({ shape: [2, size] }, 'shape', /whole numbers from 0/)
  await bad({ shape: [2 ** 30, 2 ** 30] }, 'shape', /2\^53/)
  await bad({ shape: Array(64).fill(2) }, 'shape', /2\^53/)
  for (const offsets of [[0], [0, 8, 8], [-8, 0], [0, 8.5], ['0', '8'], 8, null, [0, 2 ** 53]])
    await bad({ data_offsets: offsets }, 'data_offsets', /two whole numbers/)
  for (const offsets of [
    [8, 0],
    [0, 9],
    [0, 2 ** 52],
    [9, 17],
  ])
    await bad({ data_offsets: offsets }, 'data_offsets', /inside the 8 bytes/)
  await bad({ data_offsets: [0, 4] }, 'data_offsets', /8 bytes, as its shape and dtype say, found 4/)
  await bad({ dtype: 'F4', shape: [3] }, 'data_offsets', /1.5 bytes/)
})

test('overlaps, holes and bytes left over', async () => {
  const two = (a: string, b: string, size: number) => () => open(safetensorsFile(`{"a":${a},"b":${b}}`, size))
  await refuses(two(u8(0, 4), u8(2, 6), 6), 'tensor "b": data_offsets', /begin at 4.*found 2/)
  await refuses(two(u8(0, 4), u8(0, 4), 4), 'tensor "b": data_offsets', /begin at 4.*found 0/)
  await refuses(two(u8(0, 4), u8(5, 6), 6), 'tensor "b": data_offsets', /begin at 4.*found 5/)
  await refuses(two(u8(0, 4), u8(4, 6), 7), 'file size', /where the last tensor ends/)
  await refuses(two(u8(1, 4), u8(4, 6), 6), 'tensor "a": data_offsets', /begin at 0.*found 1/)
  assert.equal([...(await two(u8(4, 6), u8(0, 4), 6)()).tensors.keys()], ['b', 'a'])
})

test('names from prototypes are names', async () => {
  const file = await open(
    safetensorsFile(`{"__proto__":${u8(0, 1)},"constructor":${u8(1, 2)},"toString":${u8(2, 3)}}`, 3),
  )
  assert.equal([...file.tensors.keys()], ['__proto__', 'constructor', 'toString'])
  assert.is(({} as { dtype?: string }).dtype, undefined)
})

test('control characters and long names are cut in errors', async () => {
  const name = `\u001b[31m${'x'.repeat(1000)}`
  try {
    await open(safetensorsFile({ [name]: 1 }))
    assert.unreachable()
  } catch (error) {
    assert.not.match((error as Error).message, '\u001b')
    assert.ok((error as Error).message.length < 250)
  }
})

test('a file that shrinks while it is read', async () => {
  const bytes = safetensorsFile(`{"a":${u8(0, 100)}}`, 100)
  const file = await openSafetensors(shrinking(bytes, bytes.length - 50))
  await refuses(() => contentOf(file.tensors.get('a')!), `bytes ${bytes.length - 100} to ${bytes.length}`, /shrinking/)

  const folder = mkdtempSync(join(tmpdir(), 'rushlight-'))
  try {
    const path = join(folder, 'model.safetensors')
    writeFileSync(path, bytes)
    const onDisk = await openSafetensors(await openFile(path))
    writeFileSync(path, bytes.subarray(0, bytes.length - 30))
    await refuses(
      () => contentOf(onDisk.tensors.get('a')!),
      `bytes ${bytes.length - 100} to ${bytes.length}`,
      /100 bytes, found 70.*changed/,
    )
    await onDisk.close()
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('closes the source of a file that it refuses', async () => {
  let closed = 0
  const source = { ...bytesSource(new Uint8Array(3)), close: async () => void closed++ }
  await refuses(() => openSafetensors(source), 'file size', /3/)
  assert.is(closed, 1)
})

test('shards: written, read back, and what can be wrong with their index', async () => {
  const files = new Map<string, ReturnType<typeof bytesSink>>()
  const names = await writeShardedSafetensors(
    (file) => {
      files.set(file, bytesSink(file))
      return files.get(file)!
    },
    [f32('c', [1, 2, 3]), f32('a', [4]), f32('large', Array(20).fill(5)), f32('b', [6, 7])],
    { max_shard_size: 20 },
  )
  assert.equal(names, [
    'model-00001-of-00003.safetensors',
    'model-00002-of-00003.safetensors',
    'model-00003-of-00003.safetensors',
    'model.safetensors.index.json',
  ])
  const content = new Map([...files].map(([file, sink]) => [file, sink.bytes() as Uint8Array | string]))
  const repository = (changes: Record<string, Uint8Array | string | undefined> = {}) => {
    const all = new Map(content)
    for (const [file, bytes] of Object.entries(changes)) bytes === undefined ? all.delete(file) : all.set(file, bytes)
    return new MemoryRepository(all, 'repo')
  }
  const index = JSON.parse(new TextDecoder().decode(content.get('model.safetensors.index.json') as Uint8Array))
  assert.equal(index.metadata, { total_parameters: 26, total_size: 104 })
  assert.equal(Object.keys(index.weight_map), ['a', 'b', 'c', 'large'])

  const checkpoint = await openSafetensorsOf(repository())
  assert.equal(new Set(checkpoint.tensors.keys()), new Set(['a', 'b', 'c', 'large']))
  const c = await contentOf(checkpoint.tensors.get('c')!)
  assert.equal([...new Float32Array(c.slice().buffer)], [1, 2, 3])
  await checkpoint.close()

  const wrong = (map: unknown, field: string, pattern: RegExp) =>
    refuses(
      () =>
        openSafetensorsOf(
          repository({
            'model.safetensors.index.json': typeof map === 'string' ? map : JSON.stringify({ weight_map: map }),
          }),
        ),
      field,
      pattern,
    )
  const map = index.weight_map
  await refuses(
    () => openSafetensorsOf(repository({ [map.a]: undefined })),
    'weight_map',
    /model-00001-of-00003.* no such file/,
  )
  await wrong({ ...map, ghost: map.a }, 'tensor "ghost"', /repo\/model-00001.*nothing of that name/)
  await wrong({ ...map, a: map.large }, 'weight_map."a"', /found "model-00002/)
  await wrong({ ...map, a: undefined }, 'weight_map."a"', /found undefined/)
  await wrong({ ...map, a: 7 }, 'weight_map."a"', /file's name, found 7/)
  await wrong([], 'weight_map', /a list of 0/)
  await wrong('{', 'index', /JSON/)
  await wrong('null', 'weight_map', /undefined/)
  await wrong('{"weight_map":{"a":"x","a":"y"}}', 'index', /"a" twice/)
  for (const path of ['../model.safetensors', '/etc/passwd', 'a/../../b', 'C:\\x', 'C:x', '', './x', 'a//b', 'x\0']) {
    try {
      await openSafetensorsOf(
        repository({ 'model.safetensors.index.json': JSON.stringify({ weight_map: { a: path } }) }),
      )
      assert.unreachable(path)
    } catch (error) {
      assert.instance(error, FileError)
      assert.match((error as Error).message, 'not the name of a file in a repository')
    }
  }
})

test('sizes of shards', async () => {
  const shards = async (size: number | string) =>
    (
      await writeShardedSafetensors(() => bytesSink(), [f32('a', Array(500).fill(0)), f32('b', Array(500).fill(0))], {
        max_shard_size: size,
      })
    ).length
  assert.is(await shards(4000), 1)
  assert.is(await shards('4KB'), 1)
  assert.is(await shards('2KiB'), 3)
  assert.is(await shards('0.001 GB'), 1)
  assert.is(await shards(3999), 3)
  for (const size of ['', '5XB', -1, Number.NaN, 0, '1e3', 'GB']) {
    try {
      await shards(size)
      assert.unreachable(`${size}`)
    } catch (error) {
      assert.instance(error, UnsupportedOptionError)
      assert.match((error as Error).message, 'max_shard_size')
    }
  }
})

test('a file appears whole, or not at all', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rushlight-'))
  try {
    const path = join(folder, 'model.safetensors')
    await writeSafetensors(fileSink(path), [f32('a', [1])])
    const before = readFileSync(path)
    const broken: [string, TensorToWrite[], RegExp][] = [
      ['wrong length', [f32('a', [1]), { ...f32('b', [2]), shape: [3] }], /12 bytes, found 4/],
      ['same name', [f32('a', [1]), f32('a', [2])], /two tensors are called "a"/],
      ['throwing', [{ ...f32('a', [1]), data: () => assert.unreachable('data') as never }], /data/],
    ]
    for (const [what, tensors, pattern] of broken) {
      let message = ''
      await writeSafetensors(fileSink(path), tensors).catch((error) => (message = error.message))
      assert.match(message, pattern, what)
      assert.equal(readFileSync(path), before)
      assert.equal(readdirSync(folder), ['model.safetensors'], 'no file is left over')
    }
    const repository = new LocalRepository(`${folder}/`)
    assert.is((await openSafetensorsOf(repository)).tensors.size, 1)
    assert.throws(() => fileSink(join(folder, 'no/such/place')), /no such file or directory/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

const minilm = realModel('minilm')
if (minilm)
  test('all-MiniLM-L6-v2', async () => {
    const checkpoint = await openSafetensorsOf(new LocalRepository(minilm))
    assert.is(checkpoint.tensors.size, 104)
    assert.equal(checkpoint.tensors.get('embeddings.word_embeddings.weight')!.shape, [30522, 384])
    checkConsistent(checkpoint)
    await checkpoint.close()
  })

test.run()
