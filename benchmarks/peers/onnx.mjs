// Writes the one ONNX model that the matrix product benchmark needs, as protobuf bytes.

const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))])
const number = (field, n) => [...varint(field * 8), ...varint(n)]
const bytes = (field, content) => [...varint(field * 8 + 2), ...varint(content.length), ...content]
const string = (field, text) => bytes(field, [...new TextEncoder().encode(text)])

/** A float32 matrix as graph input or output: ValueInfoProto { name, type { tensor_type { elem_type, shape } } }. */
function matrix(name, rows, columns) {
  const shape = [rows, columns].flatMap((n) => bytes(1, number(1, n)))
  return [...string(1, name), ...bytes(2, bytes(1, [...number(1, 1), ...bytes(2, shape)]))]
}

/** A model that computes c = a @ b for square float32 matrices of n. */
export function matmulModel(n) {
  const node = [...string(1, 'a'), ...string(1, 'b'), ...string(2, 'c'), ...string(4, 'MatMul')]
  const graph = [
    ...bytes(1, node),
    ...string(2, 'product'),
    ...bytes(11, matrix('a', n, n)),
    ...bytes(11, matrix('b', n, n)),
    ...bytes(12, matrix('c', n, n)),
  ]
  const opset = number(2, 17)
  return new Uint8Array([...number(1, 8), ...bytes(7, graph), ...bytes(8, opset)])
}
