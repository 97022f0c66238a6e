// What a GGUF file says of its model, with the keys of its architecture.
import { type GgufCheckpoint, readElements, type StoredTensor } from '../../io/index.ts'
import { FileFormatError, shown } from '../../util/errors.ts'

export class Metadata {
  /** What errors call the file. */
  readonly file: string
  /** llama.cpp's name of the architecture. */
  readonly architecture: string
  readonly tensors: ReadonlyMap<string, StoredTensor>
  private readonly values: GgufCheckpoint['metadata']

  constructor({ name, metadata, tensors }: GgufCheckpoint) {
    this.file = name
    this.values = metadata
    this.tensors = tensors
    this.architecture = this.text('general.architecture')
  }

  has(tensor: string): boolean {
    return this.tensors.has(tensor)
  }

  /** The value of a key of the architecture, such as `attention.head_count`; whole keys where it has a prefix of its own. */
  value(key: string): unknown {
    const own = this.values.get(`${this.architecture}.${key}`)
    return typeof own === 'bigint' ? Number(own) : own
  }

  /** A number, or the fallback where the file does not say. @throws FileFormatError when it is none, or missing without fallback */
  number(key: string, fallback?: number): number {
    const value = this.value(key) ?? fallback
    if (typeof value !== 'number') throw this.wrong(key, 'a number', value)
    return shortest(value)
  }

  /** Number of layers: each has tensors, so there are no more than these. */
  get layers(): number {
    const count = this.number('block_count')
    if (!Number.isInteger(count) || count < 0 || count > this.tensors.size)
      throw this.wrong('block_count', `at most ${this.tensors.size}, as many as there are tensors`, count)
    return count
  }

  optional(key: string): number | undefined {
    return this.value(key) === undefined ? undefined : this.number(key)
  }

  /** A number for each of the layers; one number stands for all. */
  perLayer(key: string, layers: number): number[] {
    const value = this.value(key)
    if (typeof value === 'number') return new Array(layers).fill(value)
    const list = ArrayBuffer.isView(value) ? Array.from(value as Uint32Array, Number) : value
    if (!Array.isArray(list) || list.length !== layers) throw this.wrong(key, `${layers} numbers`, value)
    return list.map(Number)
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback
    if (typeof value !== 'boolean') throw this.wrong(key, 'true or false', value)
    return value
  }

  text(key: string): string {
    const value = this.values.get(key)
    if (typeof value !== 'string') throw new FileFormatError(this.file, key, 'a text', shown(value))
    return value
  }

  /** Id of a special token, or null. */
  token(name: string): number | null {
    const value = this.values.get(`tokenizer.ggml.${name}_token_id`)
    return value === undefined ? null : Number(value)
  }

  shape(tensor: string): readonly number[] {
    const stored = this.tensors.get(tensor)
    if (!stored) throw new FileFormatError(this.file, `tensor ${shown(tensor)}`, 'to be there', 'nothing of that name')
    return stored.shape
  }

  /** The numbers of a small float32 tensor. */
  async numbers(tensor: string): Promise<number[]> {
    const stored = this.tensors.get(tensor)
    const [n = 0] = this.shape(tensor)
    if (stored?.type !== 'F32' || n > 4096)
      throw new FileFormatError(this.file, `tensor ${shown(tensor)}`, 'a short list of F32', `${n} of ${stored?.type}`)
    const values = new Float32Array(n)
    await readElements(stored, 0, n, () => values)
    return Array.from(values, shortest)
  }

  private wrong(key: string, expected: string, found: unknown): FileFormatError {
    return new FileFormatError(this.file, `${this.architecture}.${key}`, expected, shown(found))
  }
}

/** The shortest decimal that is the same float32, which GGUF keeps: 1e-6, not 9.999999974752427e-7. */
function shortest(x: number): number {
  if (!Number.isFinite(x) || Number.isInteger(x) || Math.fround(x) !== x) return x
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(x.toPrecision(digits))
    if (Math.fround(short) === x) return short
  }
  return x
}
