// What torch.save writes: the tensors that Python wrote, read in place; and files that would have something run, refused.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bytesSource, type Checkpoint, MemoryRepository, openCheckpointOf, openTorch } from '../../src/io/index.ts'
import { loadWeights } from '../../src/models/loading.ts'
import { Module } from '../../src/nn/module.ts'
import { Parameter } from '../../src/nn/parameter.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'
import { contentOf, golden, refuses } from './files.ts'

const expected: Record<string, { shape: number[]; hex: string }> = JSON.parse(
  readFileSync('tests/golden/io/expected.json', 'utf8'),
).torch

const open = (bytes: Uint8Array) => openTorch(bytesSource(bytes, 'x.bin'))
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** Runs with warnings collected. */
async function warnings(run: () => Promise<void>): Promise<string[]> {
  const lines: string[] = []
  const { warn } = console
  console.warn = (line: string) => void lines.push(line)
  try {
    await run()
  } finally {
    console.warn = warn
  }
  return lines
}

for (const [file, without] of [
  ['state.bin', []],
  ['legacy.pt', ['f8', 'u16']],
] as const)
  test(`${file}: every tensor as it was: types, views, shared storages, parameters`, async () => {
    const checkpoint = await open(golden(file))
    const names = Object.keys(expected).filter((name) => !(without as readonly string[]).includes(name))
    assert.equal([...checkpoint.tensors.keys()].sort(), names.sort())
    for (const name of names) {
      const stored = checkpoint.tensors.get(name)
      assert.ok(stored, name)
      assert.equal(stored.shape, expected[name].shape, name)
      assert.is(hex(await contentOf(stored)), expected[name].hex, name)
      assert.is(hex(await contentOf(stored)), expected[name].hex, `${name}, read again`)
    }
    const types = ['f32', 'f64', 'f16', 'bf16', 'i64', 'i32', 'i16', 'i8', 'u8', 'bool'].map(
      (name) => checkpoint.tensors.get(name)?.type,
    )
    assert.equal(types, ['F32', 'F64', 'F16', 'BF16', 'I64', 'I32', 'I16', 'I8', 'U8', 'BOOL'])
    const [one, two] = [checkpoint.tensors.get('tied.one'), checkpoint.tensors.get('tied.two')]
    assert.is(one?.offset, two?.offset, 'shared storages are read from one place')
    await checkpoint.close()
  })

test('a state_dict inside of a checkpoint; what is no tensor is left out with one warning', async () => {
  let checkpoint: Checkpoint | undefined
  const lines = await warnings(async () => void (checkpoint = await open(golden('nested.pt'))))
  assert.equal([...checkpoint!.tensors.keys()], ['a', 'b'])
  assert.is(hex(await contentOf(checkpoint!.tensors.get('a')!)), '0000803f'.repeat(4))
  assert.equal(lines, ['rushlight: x.bin: left out what is no tensor: "step"'])
})

test('a repository: pytorch_model.bin and shards load into a module, after safetensors', async () => {
  class One extends Module<[], Tensor> {
    a = Parameter.lazy([2, 2], () => {})
    b = Parameter.lazy([1], () => {})
    forward(): Tensor {
      return this.a
    }
  }
  const index = JSON.stringify({ metadata: {}, weight_map: { a: 'p-1.bin', b: 'p-1.bin' } })
  const before = heapUsage().used
  for (const files of [
    [['pytorch_model.bin', golden('nested.pt')]],
    [
      ['pytorch_model.bin.index.json', index],
      ['p-1.bin', golden('nested.pt')],
    ],
  ] as [string, Uint8Array | string][][]) {
    const module = new One()
    await warnings(async () => {
      const checkpoint = await openCheckpointOf(new MemoryRepository(files, 'repo'))
      await loadWeights(module, checkpoint)
      await checkpoint.close()
    })
    assert.equal(module.a.tolist(), [
      [1, 1],
      [1, 1],
    ])
    assert.is(module.b.dtype, 'float16')
    module.dispose()
  }
  assert.is(heapUsage().used, before)
  await openCheckpointOf(new MemoryRepository([['README.md', '']], 'repo')).then(
    () => assert.unreachable(),
    (error) =>
      assert.match(
        error.message,
        /repo: expected one of model\.safetensors, .*pytorch_model\.bin.*, found none of them/,
      ),
  )
})

test('a callable that is no part of a tensor is refused by name', async () => {
  await refuses(
    () => open(golden('callable.pt')),
    'data.pkl',
    /a call of "datetime\.timedelta".*nothing in a file is ever run/,
  )
  await refuses(() => open(golden('module.pt')), 'data.pkl', /a call of "torch\.nn\.modules\.linear\.Linear"/)
})

// ---- pickles made by hand, in an archive or in the older format

const text = (s: string) => [0x58, ...u32(Buffer.byteLength(s)), ...Buffer.from(s)]
const u32 = (n: number) => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, (n >>> 24) & 255]
const int = (n: number) => [0x4a, ...u32(n)]
const global = (module: string, name: string) => [0x63, ...Buffer.from(`${module}\n${name}\n`)]
const tuple = (...items: number[][]) => [0x28, ...items.flat(), 0x74]
const storage = (key = '0', count = 4, type = 'FloatStorage') => [
  ...tuple(text('storage'), global('torch', type), text(key), text('cpu'), int(count)),
  0x51,
]
interface View {
  from?: number[]
  offset?: number[]
  sizes?: number[][]
  strides?: number[][]
}
const tensor = ({ from = storage(), offset = int(0), sizes = [int(4)], strides = [int(1)] }: View = {}) => [
  ...global('torch._utils', '_rebuild_tensor_v2'),
  ...tuple(from, offset, tuple(...sizes), tuple(...strides), [0x89], [0x7d]),
  0x52,
]
const pickle = (...body: number[][]) => Uint8Array.from([0x80, 2, ...body.flat(), 0x2e])
const dict = (...items: number[][]) => [0x7d, 0x28, ...items.flat(), 0x75]
const state = (value: number[]) => pickle(dict(text('w'), value))

/** A zip archive of stored entries; a long one has its sizes and places in fields of 64 bits. */
function zip(files: [name: string, bytes: Uint8Array][], method = 0, long = false): Uint8Array {
  const u64 = (n: number) => [...u32(n), ...u32(0)]
  const all = [255, 255, 255, 255]
  const out: number[] = []
  const directory: number[] = []
  for (const [name, bytes] of files) {
    const at = out.length
    const title = [...Buffer.from(name)]
    const middle = [...new Array(6).fill(0), ...u32(0), ...u32(bytes.length), ...u32(bytes.length)]
    out.push(0x50, 0x4b, 3, 4, 0, 0, 0, 0, method, 0, ...middle.slice(2), title.length, 0, 0, 0, ...title)
    for (const byte of bytes) out.push(byte)
    const sizes = long ? [...all, ...all] : [...u32(bytes.length), ...u32(bytes.length)]
    const extra = long ? [1, 0, 24, 0, ...u64(bytes.length), ...u64(bytes.length), ...u64(at)] : []
    directory.push(0x50, 0x4b, 1, 2, 0, 0, 0, 0, 0, 0, method, 0, ...u64(0), ...sizes)
    directory.push(title.length, 0, extra.length, 0, ...new Array(10).fill(0), ...(long ? all : u32(at)))
    directory.push(...title, ...extra)
  }
  const [size, start] = [directory.length, out.length]
  const count = [files.length, 0]
  out.push(...directory)
  if (long) {
    const end = out.length
    out.push(0x50, 0x4b, 6, 6, ...u64(44), 45, 0, 45, 0, ...u64(0))
    out.push(...u64(files.length), ...u64(files.length), ...u64(size), ...u64(start))
    out.push(0x50, 0x4b, 6, 7, ...u32(0), ...u64(end), ...u32(1))
    out.push(0x50, 0x4b, 5, 6, 0, 0, 0, 0, ...all, ...all, ...all, 0, 0)
  } else out.push(0x50, 0x4b, 5, 6, 0, 0, 0, 0, ...count, ...count, ...u32(size), ...u32(start), 0, 0)
  return Uint8Array.from(out)
}
const archive = (pkl: Uint8Array, more: [string, Uint8Array][] = []) =>
  zip([['a/data.pkl', pkl], ['a/data/0', new Uint8Array(16)], ...more])

test('a pickle by hand is read as torch reads one', async () => {
  const checkpoint = await open(archive(state(tensor())))
  assert.equal(checkpoint.tensors.get('w')?.shape, [4])
  assert.is((await contentOf(checkpoint.tensors.get('w')!)).length, 16)
})

test('an archive with fields of 64 bits', async () => {
  const files: [string, Uint8Array][] = [
    ['a/data.pkl', state(tensor())],
    ['a/data/0', new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer)],
  ]
  const bytes = zip(files, 0, true)
  const checkpoint = await open(bytes)
  assert.equal(new Float32Array((await contentOf(checkpoint.tensors.get('w')!)).buffer), Float32Array.of(1, 2, 3, 4))
  // The place of the 64-bit directory is in the locator, 42 bytes before the end.
  const beyond = bytes.slice()
  new DataView(beyond.buffer).setBigUint64(bytes.length - 34, 1n << 40n, true)
  await refuses(() => open(beyond), 'zip64 directory', /a place inside/)
})

test('what would run something, or lies about places, is refused', async () => {
  const cases: [name: string, pkl: Uint8Array, field: string, pattern: RegExp][] = [
    [
      'os.system',
      state([...global('os', 'system'), ...tuple(text('true')), 0x52]),
      'data.pkl',
      /a call of "os\.system"/,
    ],
    [
      'eval',
      state([...global('builtins', 'eval'), ...tuple(text('1')), 0x52]),
      'data.pkl',
      /a call of "builtins\.eval"/,
    ],
    [
      '__proto__',
      state([...global('torch', '__proto__'), ...tuple(), 0x52]),
      'data.pkl',
      /a call of "torch\.__proto__"/,
    ],
    [
      'a dtype called',
      state([...global('torch', 'float32'), ...tuple(), 0x52]),
      'data.pkl',
      /a call of "torch\.float32"/,
    ],
    ['a name by the stack', state([...text('os'), ...text('system'), 0x93]), 'data.pkl', /a call of "os\.system"/],
    ['an instance', state([...global('torch', 'Size'), ...tuple(), 0x81]), 'data.pkl', /expected instructions/],
    ['an old instance', state([0x28, 0x69, ...Buffer.from('os\nsystem\n')]), 'data.pkl', /expected instructions/],
    ['an extension', state([0x82, 1]), 'data.pkl', /expected instructions/],
    ['protocol 1', Uint8Array.from([0x80, 1, 0x2e]), 'data.pkl', /expected pickle protocol 2 to 5, found 1/],
    ['nothing', new Uint8Array(), 'data.pkl', /expected a whole pickle/],
    ['cut', state(tensor()).slice(0, -9), 'data.pkl', /expected a whole pickle/],
    ['a text beyond the end', pickle([0x58, ...u32(2 ** 31)]), 'data.pkl', /expected a whole pickle/],
    ['an empty stack', pickle([0x30]), 'data.pkl', /expected a value on the stack, found nothing/],
    ['no mark', pickle([0x74]), 'data.pkl', /expected a mark on the stack, found none/],
    ['a memo that is empty', pickle([0x68, 3]), 'data.pkl', /expected a value that was stored before, found number 3/],
    ['a huge integer', pickle([0x8b, ...u32(1e6)]), 'data.pkl', /integers of at most 64 bytes/],
    [
      'a storage of another kind',
      state(tensor({ from: [...tuple(text('file')), 0x51] })),
      'data.pkl',
      /expected a storage/,
    ],
    ['a negative size', state(tensor({ sizes: [int(-4)] })), 'data.pkl', /sizes that are whole numbers from 0 up/],
    ['a negative stride', state(tensor({ strides: [int(-1)] })), 'data.pkl', /sizes that are whole numbers from 0 up/],
    ['a negative offset', state(tensor({ offset: int(-1) })), 'data.pkl', /expected a tensor/],
    ['fewer strides', state(tensor({ strides: [] })), 'data.pkl', /as many strides/],
    ['beyond the storage', state(tensor({ offset: int(1) })), 'tensor "w": place', /its storage, 4, found element 4/],
    ['beyond the entry', state(tensor({ from: storage('0', 5) })), 'storage "0"', /at most its 16 bytes, found 20/],
    ['no such entry', state(tensor({ from: storage('7') })), 'storage "7"', /an entry in the archive, found none/],
    ['stride 0', state(tensor({ strides: [int(0)] })), 'tensor "w": strides', /places of their own/],
    [
      'overlapping',
      state(tensor({ sizes: [int(2), int(3)], strides: [int(1), int(1)] })),
      'tensor "w": strides',
      /places of their own/,
    ],
    [
      'too many elements',
      state(tensor({ sizes: new Array(3).fill(int(2 ** 30)), strides: new Array(3).fill(int(0)) })),
      'tensor "w": shape',
      /fewer than 2\^53 elements/,
    ],
    ['a tensor alone', pickle(tensor()), 'contents', /a state_dict.*found a tensor/],
    ['no tensors', pickle(dict(text('x'), int(1))), 'contents', /expected a state_dict/],
    ['a name that is no text', pickle(dict(int(1), tensor())), "a tensor's name", /expected a text, found 1/],
  ]
  for (const [name, pkl, field, pattern] of cases)
    await refuses(() => open(archive(pkl)), field, pattern).catch((error) => {
      throw new Error(`${name}: ${error.message}`, { cause: error })
    })
})

test('nesting and repeated references cost no more than their bytes', async () => {
  const deep = pickle(new Array(200_000).fill(0x5d), new Array(199_999).fill(0x61), [0x71, 0], tensor(), [0x30])
  await refuses(() => open(archive(deep)), 'contents', /found a list/)
  // A list that holds itself, and lists of lists doubled sixty times.
  const doubled = Array.from({ length: 60 }, (_, i) => [0x5d, 0x71, i + 1, 0x28, 0x68, i, 0x68, i, 0x65]).flat()
  await refuses(() => open(archive(pickle([0x5d, 0x71, 0, 0x68, 0, 0x61], doubled))), 'contents', /found a list/)
})

test('archives that are damaged, deflated or of another byte order are refused', async () => {
  const whole = archive(state(tensor()))
  await refuses(() => open(zip([['a/data.pkl', state(tensor())]], 8)), 'entry 0: "a/data.pkl"', /compression 8/)
  await refuses(() => open(archive(state(tensor()), [['a/byteorder', Buffer.from('big')]])), 'byteorder', /found "big"/)
  await refuses(
    () => open(zip([['a/b', new Uint8Array(3)]])),
    'entries of the archive',
    /one data\.pkl in a folder, found 0/,
  )
  await refuses(() => open(whole.slice(0, -30)), 'end of the archive', /truncated or damaged/)
  await refuses(() => open(new Uint8Array([1, 2, 3, 4])), 'contents', /found bytes 1 2 3 4/)
  await refuses(() => open(Buffer.from('version https://git-lfs')), 'contents', /git lfs pull/)
  await refuses(() => open(new Uint8Array()), 'contents', /found nothing/)
})

test('the older format: its beginning, its lengths and its order are checked', async () => {
  const whole = golden('legacy.pt')
  await refuses(() => open(whole.slice(0, 600)), 'pickle', /five whole pickles/)
  await refuses(() => open(whole.slice(0, -4)), `storage "${lastKey(whole)}"`, /to the end/)
  await refuses(() => open(pickle([0x4b, 1])), 'pickle', /the number that files of torch\.save begin with, found 1/)
})

/** Key of the last storage of a file in the older format: the last text of its list of keys. */
function lastKey(bytes: Uint8Array): string {
  const all = [
    ...Buffer.from(bytes)
      .toString('latin1')
      .matchAll(/X.\0\0\0(\d{6,})q/gs),
  ]
  return all.at(-1)![1]
}

test.run()
