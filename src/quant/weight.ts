// A quantized weight: its blocks on the heap, repacked for the kernels, with what is needed to read, fill and convert them.
import { asContiguous } from '../ops/copying.ts'
import { Parameter } from '../nn/parameter.ts'
import { tidy } from '../tensor/scope.ts'
import { type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError } from '../util/errors.ts'
import { u8View, withTemp } from '../wasm/index.ts'
import { BLOCK, BLOCK_TYPES, type BlockTypeName, type FormatName, isKept, rowBytes } from './formats.ts'
import { convert, dequantize, pack, repack } from './products.ts'

/**
 * A frozen matrix [rows, columns] in a block format. Memory appears when it is filled, from a file by `raw` and `seal`, or from
 * a tensor by `quantize`. Modules that share it (a tied embedding and head) hold the same object.
 */
export class QuantizedWeight {
  /** [rows, columns]. */
  readonly shape: Shape
  private memory: Parameter | undefined
  private sealed = false

  /** @throws ShapeError when a row is not whole blocks */
  constructor(
    readonly format: FormatName,
    shape: Shape,
  ) {
    if (shape.length !== 2 || shape[1] % BLOCK !== 0)
      throw new ShapeError(`${format}: expected a matrix with rows of whole blocks of ${BLOCK}, found ${show(shape)}`)
    this.shape = [...shape]
  }

  /** A tensor's elements, rounded to the format as llama.cpp does. The tensor stays. */
  static quantize(tensor: Tensor, format: FormatName): QuantizedWeight {
    const weight = new QuantizedWeight(format, tensor.shape)
    if (!tensor.is_floating_point()) throw new DTypeError(`quantize: expected a floating tensor, found ${tensor.dtype}`)
    weight.allocate()
    weight.fillRows(tensor, 0)
    weight.seal()
    return weight
  }

  /** Rounds rows (count, columns) into their places from row `first` on. After `raw`, before `seal`. */
  fillRows(rows: Tensor, first: number): void {
    tidy(() => {
      const x = asContiguous(rows.to('float32'))
      pack(this.format, x.ptr, this.parameter.ptr + first * rowBytes(this.format, this.shape[1]), x.numel() / BLOCK)
    })
  }

  /**
   * Puts a file's blocks of any type that is kept in this format into the places of rows from `first` on, converted where they
   * are of another. After `raw`, before `seal`.
   * @param ptr where `count` rows of them lie
   */
  convertRows(type: BlockTypeName, ptr: number, count: number, first: number): void {
    const bytes = rowBytes(this.format, this.shape[1])
    const to = this.parameter.ptr + first * bytes
    if (isKept(type)) u8View(to, count * bytes).set(u8View(ptr, count * bytes))
    else convert(type, ptr, (count * this.shape[1]) / BLOCK_TYPES[type].block, to)
  }

  /** Bytes of the blocks as files have them. */
  get bytes(): number {
    return this.shape[0] * rowBytes(this.format, this.shape[1])
  }

  /**
   * Where a file's blocks go, row after row: allocates, and gives the function that makes a view of it. Follow with `seal`. A
   * view goes stale when the heap grows; ask for it afresh after each wait.
   */
  raw(): () => Uint8Array {
    const { ptr } = this.allocate()
    return () => u8View(ptr, this.bytes)
  }

  /**
   * Repacks in place what was read to `raw`, after which the weight can be used.
   * @param rows for each row of the weight, its row in the file, where they differ
   */
  seal(rows?: (row: number) => number): void {
    const { ptr } = this.parameter
    if (this.sealed) throw new RushlightError('seal: the weight has been repacked already')
    const [n, k] = this.shape
    if (rows) permuteRows(ptr, n, rowBytes(this.format, k), rows)
    repack(this.format, ptr, n, k)
    this.sealed = true
  }

  /** @internal The repacked blocks, as the ops take them. */
  get blocks(): Parameter {
    if (!this.sealed)
      throw new RushlightError(`a ${this.format} weight ${show(this.shape)} was used before it was loaded`)
    return this.parameter
  }

  /** @internal The memory, where there is any yet. */
  get allocated(): Parameter | undefined {
    return this.memory
  }

  /** The matrix in float32. */
  dequantize(): Tensor {
    const [n, k] = this.shape
    const out = Tensor.empty([n, k], 'float32', 'dequantize')
    dequantize(this.format, this.blocks.ptr, k, 0, n, out.ptr)
    return out
  }

  /** Gives its memory back. */
  dispose(): void {
    this.memory?.dispose()
    this.memory = undefined
    this.sealed = false
  }

  private allocate(): Parameter {
    this.dispose()
    const [n, k] = this.shape
    this.memory = tidy(
      () => new Parameter(Tensor.empty([Math.ceil(n / 4), 4, rowBytes(this.format, k)], 'uint8', 'weights'), false),
    )
    this.memory.persistent = false
    return this.memory
  }

  private get parameter(): Parameter {
    if (!this.memory)
      throw new RushlightError(`a ${this.format} weight ${show(this.shape)} was used before it was loaded`)
    return this.memory
  }
}

/** Puts row rows(i) of n to place i, along the cycles of the permutation, by way of one row. */
function permuteRows(ptr: number, n: number, bytes: number, rows: (row: number) => number): void {
  withTemp(bytes, (held) => {
    const view = (at: number) => u8View(at, bytes)
    const done = new Uint8Array(n)
    for (let first = 0; first < n; first++) {
      if (done[first]) continue
      view(held).set(view(ptr + first * bytes))
      for (let row = first; ; ) {
        const from = rows(row)
        done[row] = 1
        view(ptr + row * bytes).set(view(from === first ? held : ptr + from * bytes))
        if (from === first) break
        row = from
      }
    }
  })
}
