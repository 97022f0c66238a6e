// A tensor that lies in its file by strides, a transposed one say, as a source that has its elements in order.
import { type ByteSource, bytesSource, readBytes } from './source.ts'

/**
 * The elements of a tensor in row-major order. The part of the file that they lie in is read whole at the first read, and held
 * until the last one.
 * @param start position of the first element, in bytes
 * @param strides in elements of `size` bytes
 */
export function stridedSource(
  source: ByteSource,
  start: number,
  shape: readonly number[],
  strides: readonly number[],
  size: number,
): ByteSource {
  const count = shape.reduce((a, b) => a * b, 1)
  const span = (shape.reduce((sum, n, d) => sum + (n - 1) * strides[d], 0) + 1) * size
  let held: Uint8Array | undefined
  const gathered = async () => {
    const from = await readBytes(source, start, span)
    const to = new Uint8Array(count * size)
    const index = shape.map(() => 0)
    for (let i = 0, at = 0; i < count; i++) {
      for (let byte = 0; byte < size; byte++) to[i * size + byte] = from[at + byte]
      for (let d = shape.length - 1; d >= 0; d--) {
        at += strides[d] * size
        if (++index[d] < shape[d]) break
        at -= strides[d] * size * shape[d]
        index[d] = 0
      }
    }
    return to
  }
  return {
    name: source.name,
    size: count * size,
    async readInto(into, offset) {
      held ??= await gathered()
      const end = offset + (typeof into === 'function' ? into() : into).length
      await bytesSource(held, source.name).readInto(into, offset)
      if (end === count * size) held = undefined
    },
    async close() {}, // the file's own source is closed once, by its checkpoint
  }
}
