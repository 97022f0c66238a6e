// GGUF: what Python writes is read and written again byte for byte, and nothing false is believed.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  bytesSource,
  GGML_TYPES,
  type GgufTensor,
  type GgufType,
  type GgufValue,
  openFile,
  MemoryRepository,
  openGguf,
  openGgufOf,
  writeGguf,
} from '../../src/io/index.ts'
import { realModel } from '../models/paths.ts'
import { checkConsistent, contentOf, golden, refuses, written } from './files.ts'

interface Expected {
  values: Record<string, GgufValue>
  lists: Record<string, GgufValue[]>
  tensors: Record<string, { type: string; shape: number[]; hex: string }>
}
const expected: Expected = JSON.parse(new TextDecoder().decode(golden('expected.json'))).gguf

const open = (bytes: Uint8Array) => openGguf(bytesSource(bytes, 'file'))

test("reads Python's file: every type of value, tensors of blocks", async () => {
  const file = await open(golden('types.gguf'))
  assert.is(file.version, 3)
  for (const [name, value] of Object.entries(expected.values)) {
    const found = file.metadata.get(`test.${name}`)
    assert.is(file.types.get(`test.${name}`), name.toUpperCase())
    assert.is(typeof found === 'bigint' ? `${found}` : found, value, name)
  }
  for (const [name, list] of Object.entries(expected.lists))
    assert.equal([...(file.metadata.get(`test.${name}`) as GgufValue[])], list)
  assert.instance(file.metadata.get('test.scores'), Float32Array)
  assert.is(file.types.get('test.tokens'), 'ARRAY<STRING>')
  assert.equal([...file.tensors.keys()], Object.keys(expected.tensors))
  for (const [name, { type, shape, hex }] of Object.entries(expected.tensors)) {
    const tensor = file.tensors.get(name)!
    assert.is(tensor.type, type)
    assert.equal(tensor.shape, shape)
    assert.is(Buffer.from(await contentOf(tensor)).toString('hex'), hex, name)
  }
  checkConsistent(file)
})

test("what it writes is, byte for byte, what Python's writer writes", async () => {
  const bytes = golden('types.gguf')
  const { metadata, types, tensors } = await open(bytes)
  const contents: GgufTensor[] = []
  for (const tensor of tensors.values()) {
    const data = await contentOf(tensor)
    contents.push({ ...tensor, data: () => data })
  }
  assert.equal(await written((sink) => writeGguf(sink, { metadata, types, tensors: contents })), bytes)
})

/** A GGUF file from parts, any of which may lie. */
class Parts {
  private readonly parts: number[] = []
  constructor(tensors: number | bigint = 0, keys: number | bigint = 0, version = 3) {
    this.bytes(0x47, 0x47, 0x55, 0x46).u32(version).u64(tensors).u64(keys)
  }
  bytes(...bytes: number[]): this {
    this.parts.push(...bytes)
    return this
  }
  u32(x: number): this {
    return this.bytes(...new Uint8Array(Uint32Array.of(x).buffer))
  }
  u64(x: number | bigint): this {
    return this.bytes(...new Uint8Array(BigUint64Array.of(BigInt(x)).buffer))
  }
  string(text: string): this {
    const bytes = new TextEncoder().encode(text)
    return this.u64(bytes.length).bytes(...bytes)
  }
  tensor(name: string, ne: (number | bigint)[], type: number, offset: number | bigint): this {
    this.string(name).u32(ne.length)
    for (const n of ne) this.u64(n)
    return this.u32(type).u64(offset)
  }
  /** The file, aligned, with that many bytes of data. */
  file(data = 0, alignment = 32): Uint8Array {
    return Uint8Array.from([
      ...this.parts,
      ...Array(Math.ceil(this.parts.length / alignment) * alignment - this.parts.length + data).fill(0),
    ])
  }
  raw(): Uint8Array {
    return Uint8Array.from(this.parts)
  }
}
const [UINT8, UINT32, INT32, BOOL, STRING, ARRAY] = [0, 4, 5, 7, 8, 9]

test('magic and version', async () => {
  for (const size of [0, 3])
    await refuses(() => open(new Uint8Array(size)), 'magic', new RegExp(`4 bytes at 0, found ${size} to the end`))
  await refuses(() => open(new Uint8Array(100)), 'magic', /not GGUF/)
  for (const version of [0, 1, 4, 99])
    await refuses(() => open(new Parts(0, 0, version).file()), 'version', new RegExp(`2 or 3, found ${version}`))
  await refuses(() => open(new Parts(0, 0, 0x03000000).file()), 'version', /a big-endian file/)
  for (const version of [2, 3]) assert.is((await open(new Parts(0, 0, version).file())).version, version)
  await refuses(() => open(new Parts().raw().subarray(0, 20)), 'metadata count', /truncated/)
})

test('counts that the file cannot hold', async () => {
  for (const n of [1n, 2n ** 31n, 2n ** 32n, 2n ** 60n, 2n ** 63n, 2n ** 64n - 9n]) {
    await refuses(() => open(new Parts(n, 0).raw()), 'tensor count', new RegExp(`at most 0.*found ${n}`))
    await refuses(() => open(new Parts(0, n).raw()), 'metadata count', new RegExp(`at most 0.*found ${n}`))
    const list = (type: number) => () => open(new Parts(0, 1).string('k').u32(ARRAY).u32(type).u64(n).raw())
    for (const type of [UINT8, INT32, STRING, ARRAY, BOOL])
      await refuses(list(type), 'metadata "k": length', /as many as the rest of the file can hold/)
    await refuses(
      () =>
        open(
          new Parts(0, 1)
            .u64(n + 8n)
            .u64(0)
            .raw(),
        ),
      'metadata key 0: length',
      /at most 8/,
    )
    await refuses(
      () => open(new Parts(0, 1).string('key').u32(STRING).u64(n).raw()),
      'metadata "key": length',
      /at most 0/,
    )
  }
})

test('metadata of the wrong kind', async () => {
  const one = () => new Parts(0, 1)
  await refuses(() => open(one().string('').u32(UINT8).bytes(1).file()), 'metadata key 0', /a name/)
  await refuses(() => open(one().string('k').u32(13).file()), 'metadata "k": type', /0 to 12, found 13/)
  await refuses(
    () =>
      open(
        one()
          .string('k')
          .u32(ARRAY)
          .u32(2 ** 32 - 1)
          .file(),
      ),
    'metadata "k": type',
    /4294967295/,
  )
  await refuses(() => open(one().string('k').u32(BOOL).bytes(2).file()), 'metadata "k"', /0 or 1, found 2/)
  await refuses(() => open(one().string('k').u32(STRING).u64(2).bytes(0xc3, 0x28).file()), 'metadata "k"', /UTF-8/)
  await refuses(() => open(one().u64(1).bytes(0xff).u32(UINT8).bytes(1).file()), 'metadata key 0', /UTF-8/)
  await refuses(
    () => open(new Parts(0, 2).string('k').u32(UINT8).bytes(1).string('k').u32(UINT8).bytes(2).file()),
    'metadata "k"',
    /twice/,
  )
  const nested = (depth: number) => {
    const parts = one().string('k').u32(ARRAY)
    for (let i = 1; i < depth; i++) parts.u32(ARRAY).u64(1)
    return parts.u32(UINT8).u64(2).bytes(7, 8).file()
  }
  assert.equal((await open(nested(4))).metadata.get('k'), [[[Uint8Array.of(7, 8)]]])
  await refuses(() => open(nested(5)), 'metadata "k"', /nested at most 4/)
  await refuses(() => open(nested(5000)), 'metadata "k"', /nested at most 4/)
  const proto = await open(new Parts(0, 1).string('__proto__').u32(UINT8).bytes(1).file())
  assert.is(proto.metadata.get('__proto__'), 1)
})

test('alignment', async () => {
  const aligned = (type: number, ...value: number[]) =>
    new Parts(1, 1)
      .string('general.alignment')
      .u32(type)
      .bytes(...value)
      .tensor('a', [8], 0, 0)
  for (const value of [0, 3, 2 ** 31, 2 ** 21])
    await refuses(
      () => open(aligned(UINT32, ...new Uint8Array(Uint32Array.of(value).buffer)).file(64)),
      'metadata "general.alignment"',
      /power of two/,
    )
  await refuses(() => open(aligned(INT32, 32, 0, 0, 0).file(64)), 'metadata "general.alignment"', /INT32 32/)
  const file = await open(aligned(UINT32, 64, 0, 0, 0).file(64, 64))
  assert.is(file.tensors.get('a')!.offset % 64, 0)
})

test('tensors that cannot be', async () => {
  const one =
    (ne: (number | bigint)[], type: number, offset: number | bigint, data = 64) =>
    () =>
      open(new Parts(1, 0).tensor('a', ne, type, offset).file(data))
  await refuses(one([1, 1, 1, 1, 1], 0, 0), 'tensor "a": dimensions', /at most 4, found 5/)
  await refuses(
    () =>
      open(
        new Parts(1, 0)
          .string('a')
          .u32(2 ** 32 - 1)
          .file(64),
      ),
    'tensor "a": dimensions',
    /4294967295/,
  )
  for (const ne of [
    [2n ** 60n],
    [2n ** 64n - 1n],
    [2 ** 30, 2 ** 30],
    [2n ** 32n, 2n ** 32n, 2n ** 32n, 2n ** 32n],
    [0xffffffffffffffffn, 2n],
  ])
    await refuses(one(ne, 0, 0), 'tensor "a": shape', /2\^53/)
  for (const type of [4, 5, 31, 36, 42, 2 ** 31, 2 ** 32 - 1])
    await refuses(one([32], type, 0), 'tensor "a": type', new RegExp(`Q4_1.*found ${type}`))
  await refuses(one([33], GGML_TYPES.Q4_0.id, 0), 'tensor "a": shape', /whole blocks of 32 elements \(Q4_0\)/)
  await refuses(one([1, 64], GGML_TYPES.Q8_0.id, 0), 'tensor "a": shape', /rows of 1$/)
  await refuses(one([8], 0, 1), 'tensor "a": offset', /multiple of 32/)
  await refuses(one([8], 0, 2n ** 63n), 'tensor "a": offset', /multiple of 32, found 9223372036854775808/)
  for (const offset of [64, 2 ** 40, 2 ** 52])
    await refuses(one([8], 0, offset), 'tensor "a": offset', /inside the 64 bytes/)
  await refuses(one([17], 0, 0), 'tensor "a": offset', /inside the 64 bytes of data, found 0 to 68/)
  await refuses(() => open(new Parts(1, 0).tensor('a', [8], 0, 0).raw()), 'tensor "a": offset', /inside the 0 bytes/)
  await refuses(
    () => open(new Parts(2, 0).tensor('a', [8], 0, 0).tensor('a', [8], 0, 32).file(64)),
    'tensor "a"',
    /twice/,
  )
  await refuses(
    () => open(new Parts(2, 0).tensor('a', [16], 0, 0).tensor('b', [8], 0, 32).file(64)),
    'tensor "b": offset',
    /from 64 on, where "a" ends/,
  )
  await refuses(
    () => open(new Parts(2, 0).tensor('a', [8], 0, 32).tensor('b', [8], 0, 32).file(64)),
    'tensor "b": offset',
    /from 64 on/,
  )
})

test('tensors that can be: scalars, none of their elements, out of order', async () => {
  const file = await open(
    new Parts(4, 0)
      .tensor('b', [8], 0, 32)
      .tensor('a', [8], 0, 0)
      .tensor('s', [], 0, 64)
      .tensor('e', [32, 0], 2, 0)
      .file(68),
  )
  assert.equal([...file.tensors.keys()], ['e', 'a', 'b', 's'])
  assert.equal(file.tensors.get('s')!.shape, [])
  assert.is(file.tensors.get('s')!.bytes, 4)
  assert.equal(file.tensors.get('e')!.shape, [0, 32])
  checkConsistent(file)
})

test('a header longer than the first read', async () => {
  const tokens = Array.from({ length: 50_000 }, (_, i) => `token ${i} ${'🕯'.repeat(25)}`)
  const metadata = new Map<string, GgufValue>([['tokens', tokens]])
  const types = new Map<string, GgufType>([['tokens', 'ARRAY<STRING>']])
  const bytes = await written((sink) => writeGguf(sink, { metadata, types, tensors: [] }))
  assert.ok(bytes.length > 5e6)
  assert.equal((await open(bytes)).metadata.get('tokens'), tokens)
  await refuses(() => open(bytes.subarray(0, bytes.length - 40)), 'metadata "tokens": length', /at most 88.*found 112/)
})

test('a file of 32 TiB does not make it read or allocate more than a header may have', async () => {
  let asked = 0
  const huge = (start: Uint8Array) =>
    openGguf({
      name: 'huge',
      size: 2 ** 45,
      async readInto(into, offset) {
        const view = typeof into === 'function' ? into() : into
        asked += view.length
        if (offset < start.length) view.set(start.subarray(offset, offset + view.length))
      },
      async close() {},
    })
  const list = (type: number, n: number) => huge(new Parts(0, 1).string('k').u32(ARRAY).u32(type).u64(n).raw())
  await refuses(() => list(UINT8, 2 ** 40), 'metadata "k": length', /found 1099511627776/)
  await refuses(() => list(BOOL, 2 ** 26), 'metadata "k": length', /at most 16777216/)
  await refuses(() => huge(new Parts(0, 2 ** 22).raw()), 'metadata key 0', /a name/)
  assert.ok(asked < 2 ** 26, `${asked} bytes were asked for`)
})

test('what cannot be written', async () => {
  const data = () => new Uint8Array(4)
  const write = (tensor: GgufTensor, metadata: [string, GgufValue, GgufType?][] = []) =>
    written((sink) =>
      writeGguf(sink, {
        metadata: new Map(metadata.map(([key, value]) => [key, value])),
        types: new Map(metadata.flatMap(([key, , type]) => (type ? [[key, type] as const] : []))),
        tensors: [tensor],
      }),
    ).then(
      () => 'written',
      (error) => error.message,
    )
  const good = { name: 'a', type: 'F32', shape: [1], data }
  assert.is(await write(good), 'written')
  assert.match(await write({ ...good, type: 'F33' }), 'no F33')
  assert.match(await write({ ...good, type: 'Q4_0' }), 'no Q4_0 of shape [1]')
  assert.match(await write({ ...good, shape: [1, 1, 1, 1, 1] }), 'no F32 of shape')
  assert.match(await write({ ...good, shape: [2] }), 'expected 8 bytes, found 4')
  assert.match(await write(good, [['k', 1]]), '"k" has no type')
  assert.match(await write(good, [['k', 1, 'STRING']]), '"k": expected STRING, found 1')
})

const smollm2 = realModel('smollm2')
if (smollm2)
  test('SmolLM2-135M-Instruct', async () => {
    const file = await openGguf(await openFile(smollm2))
    assert.is(file.metadata.get('general.architecture'), 'llama')
    assert.is((file.metadata.get('tokenizer.ggml.tokens') as string[]).length, 49152)
    assert.is(file.tensors.size, 272)
    const { type, shape, bytes } = file.tensors.get('token_embd.weight')!
    assert.equal([type, shape, bytes], ['Q8_0', [49152, 576], (49152 * 576 * 34) / 32])
    checkConsistent(file)
    await file.close()
  })

const PARTS = [1, 2, 3].map((no) => `split-0000${no}-of-00003.gguf`)
const parts = (change: (name: string, bytes: Uint8Array) => Uint8Array = (_, bytes) => bytes, names = PARTS) =>
  new MemoryRepository(
    names.map((name): [string, Uint8Array] => [name, change(name, golden(PARTS.includes(name) ? name : PARTS[0]))]),
    'repo',
  )

test("a split file is opened whole, whichever part is named: Python's parts", async () => {
  for (const name of PARTS) {
    const file = await openGgufOf(parts(), name)
    assert.equal([...file.tensors.keys()], ['t0', 't1', 't2', 't3', 't4'])
    assert.is(file.metadata.get('test.name'), 'split')
    for (const [i, stored] of [...file.tensors.values()].entries())
      assert.equal(new Float32Array((await contentOf(stored)).buffer), new Float32Array(6).fill(i))
    await file.close()
  }
})

test('parts that are missing, or do not go together, are refused', async () => {
  const field = (name: string, bytes: Uint8Array) => {
    const at = Buffer.from(bytes).indexOf(name) + name.length + 4 // past the type
    return new DataView(bytes.buffer, bytes.byteOffset + at)
  }
  await openGgufOf(parts(undefined, PARTS.slice(0, 2)), PARTS[0]).then(
    () => assert.unreachable(),
    (error) =>
      assert.match(
        error.message,
        /repo: split-00001-of-00003\.gguf is one of 3 files, and split-00003-of-00003\.gguf is missing/,
      ),
  )
  await refuses(
    () =>
      openGgufOf(
        parts((name, bytes) => (name === PARTS[1] ? golden(PARTS[2]) : bytes)),
        PARTS[0],
      ),
    'split.no',
    /expected 1, found 2/,
  )
  await refuses(
    () =>
      openGgufOf(
        parts((_, bytes) => {
          field('split.count', bytes).setUint16(0, 4, true)
          return bytes
        }),
        PARTS[0],
      ),
    'split.count',
    /expected 3, found 4/,
  )
  await refuses(
    () =>
      openGgufOf(
        parts((name, bytes) => {
          if (name === PARTS[0]) field('split.tensors.count', bytes).setInt32(0, 6, true)
          return bytes
        }),
        PARTS[0],
      ),
    'split.tensors.count',
    /expected 5, as many as there are, found 6/,
  )
  await refuses(
    () => openGgufOf(parts(undefined, ['alone.gguf']), 'alone.gguf'),
    'split.count',
    /expected 1, found 3.*names: …-00001-of-00003\.gguf/,
  )
})

test.run()
