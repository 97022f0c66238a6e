// The ops on quantized weights. A weight [N, K] is a uint8 tensor [⌈N/4⌉, 4, bytes of a row], repacked for the kernels; it is
// frozen: gradients go to the input and the bias alone.
import { asContiguous } from '../ops/copying.ts'
import { prepareIndex, zerosOf } from '../ops/indices.ts'
import { defineOp } from '../ops/op.ts'
import { Nd, type Sampler } from '../ops/reference.ts'
import { sumTo } from '../ops/sum-to.ts'
import { fromFloat16 } from '../tensor/half.ts'
import { numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, ShapeError } from '../util/errors.ts'
import { BLOCK, type Format, FORMATS, type FormatName, rowBytes } from './formats.ts'
import { dequantize, qmatmul, qmatmulGradient } from './products.ts'

/** Row length K of the weight; refuses what is no repacked weight of N rows. */
function columns(op: string, blocks: Tensor, format: FormatName, N: number): number {
  const K = (blocks.shape[2] / rowBytes(format, BLOCK)) * BLOCK
  if (
    blocks.dtype !== 'uint8' ||
    blocks.ndim !== 3 ||
    blocks.shape[0] !== Math.ceil(N / 4) ||
    blocks.shape[1] !== 4 ||
    !Number.isInteger(K)
  )
    throw new ShapeError(
      `${op}: expected a ${format} weight of ${N} rows (uint8 [${Math.ceil(N / 4)}, 4, bytes of a row]), found ${blocks.dtype} ${show(blocks.shape)}`,
    )
  return K
}

/** Contiguous float32. */
const dense = (t: Tensor): Tensor => asContiguous(t.dtype === 'float32' ? t : t.to('float32'))

/** input (…,K) · Wᵀ (K,N) + bias (N), in the input's dtype. The input is rounded to 8 bits by blocks of 32 on the way. */
export const quantized_linear = defineOp({
  name: 'quantized_linear',
  params: ['input', 'blocks', 'format', 'out_features', 'bias'],
  forward(
    record,
    input: Tensor,
    blocks: Tensor,
    format: FormatName,
    out_features: number,
    bias: Tensor | null = null,
  ): Tensor {
    const N = out_features
    const K = columns('quantized_linear', blocks, format, N)
    if (!input.is_floating_point())
      throw new DTypeError(`quantized_linear: expected a floating input, found ${input.dtype}. Hint: .float()`)
    if (input.ndim === 0 || input.shape[input.ndim - 1] !== K)
      throw new ShapeError(`quantized_linear: input ${show(input.shape)} does not end in the weight's ${K} columns`)
    if (bias && show(bias.shape) !== show([N]))
      throw new ShapeError(`quantized_linear: expected a bias of shape [${N}], found ${show(bias.shape)}`)
    const lead = input.shape.slice(0, -1)
    const m = numelOf(lead)
    const x = dense(input)
    const w = asContiguous(blocks)
    const b = bias && dense(bias)
    const out = Tensor.empty([...lead, N], 'float32', 'quantized_linear')
    qmatmul({ format, m, n: N, k: K, x: x.ptr, w: w.ptr, bias: b?.ptr ?? 0, out: out.ptr })
    const { shape, dtype } = input
    const biasType = bias?.dtype ?? 'float32'
    return record(out.to(dtype), [w], ([g], [w], needs) => {
      let dx: Tensor | null = null
      if (needs[0]) {
        dx = zerosOf(shape, 'float32', 'gradient of quantized_linear')
        qmatmulGradient({ format, m, n: N, k: K, w: w.ptr }, dense(g).ptr, dx.ptr)
      }
      return [dx?.to(dtype), null, needs[2] ? sumTo(dense(g), [N]).to(biasType) : null]
    })
  },
  ref(input: Nd, blocks: Nd, format: FormatName, N: number, bias: Nd | null = null) {
    const weight = unpacked(blocks, format)
    const K = weight.shape[1]
    return Nd.of([...input.shape.slice(0, -1), N], (i) => {
      const [row, n] = [Math.floor(i / N), i % N]
      let sum = bias?.data[n] ?? 0
      for (let k = 0; k < K; k++) sum += input.data[row * K + k] * weight.data[n * K + k]
      return sum
    })
  },
  // Activations of 8 bits: half a step is 1/254 of a block's largest. Exactness with these is in tests/quant.
  tolerance: 0.02,
  samples: (s) => [
    [s.randn(3, 64), sampleWeight(s, 'q4_0', 8, 64), 'q4_0', 8],
    [s.randn(1, 96), sampleWeight(s, 'q4_1', 7, 96), 'q4_1', 7, s.randn(7)],
    [s.randn(2, 5, 32), sampleWeight(s, 'q8_0', 1, 32), 'q8_0', 1, s.randn(1)],
    [s.randn(160), sampleWeight(s, 'q8_0', 41, 160), 'q8_0', 41, null],
    [s.randn(131, 64), sampleWeight(s, 'q4_1', 70, 64), 'q4_1', 70, s.randn(70)],
    [s.uniform(-0.3, 0.3, 5, 2080), sampleWeight(s, 'q4_0', 3, 2080), 'q4_0', 3],
    [s.randn(0, 32), sampleWeight(s, 'q4_0', 4, 32), 'q4_0', 4],
    [s.randn(2, 0), sampleWeight(s, 'q4_0', 4, 0), 'q4_0', 4, s.randn(4)],
    [s.randn(2, 32), sampleWeight(s, 'q4_0', 0, 32), 'q4_0', 0],
  ],
  errors: (s) => [
    [
      [s.randn(2, 32), sampleWeight(s, 'q4_0', 4, 64), 'q4_0', 4],
      /input \[2, 32\] does not end in the weight's 64 columns/,
    ],
    [
      [s.randn(2, 64), sampleWeight(s, 'q4_0', 4, 64), 'q4_0', 5],
      /expected a q4_0 weight of 5 rows .* found uint8 \[1, 4, 36\]/,
    ],
    [
      [s.randn(2, 64), sampleWeight(s, 'q4_0', 4, 64), 'q4_0', 4, s.randn(3)],
      /expected a bias of shape \[4\], found \[3\]/,
    ],
    [[s.randint(0, 5, [2, 64]), sampleWeight(s, 'q4_0', 4, 64), 'q4_0', 4], /expected a floating input, found int64/],
  ],
})

/** Rows of a quantized table (V,D) by ids of any shape: (…,D). */
export const quantized_embedding = defineOp({
  name: 'quantized_embedding',
  params: ['input', 'blocks', 'format', 'num_embeddings'],
  forward(_record, input: Tensor, blocks: Tensor, format: FormatName, num_embeddings: number): Tensor {
    const D = columns('quantized_embedding', blocks, format, num_embeddings)
    const ids = prepareIndex('quantized_embedding', input, num_embeddings)
    const out = Tensor.empty([...input.shape, D], 'float32', 'quantized_embedding')
    dequantize(format, asContiguous(blocks).ptr, D, ids.ptr, ids.numel(), out.ptr)
    return out
  },
  ref(input: Nd, blocks: Nd, format: FormatName) {
    const weight = unpacked(blocks, format)
    const D = weight.shape[1]
    return Nd.of([...input.shape, D], (i) => weight.data[input.data[Math.floor(i / D)] * D + (i % D)])
  },
  differentiable: false,
  samples: (s) => [
    [s.randint(0, 7, [5]), sampleWeight(s, 'q8_0', 7, 64), 'q8_0', 7],
    [s.randint(0, 6, [2, 3], 'int32'), sampleWeight(s, 'q4_0', 6, 96), 'q4_0', 6],
    [s.randint(0, 9, [70]), sampleWeight(s, 'q4_1', 9, 32), 'q4_1', 9],
    [s.randint(0, 3, []), sampleWeight(s, 'q4_1', 3, 32), 'q4_1', 3],
    [s.randint(0, 3, [0]), sampleWeight(s, 'q8_0', 3, 32), 'q8_0', 3],
  ],
  errors: (s) => [
    [
      [new Nd([1], Float64Array.of(6), 'int64'), sampleWeight(s, 'q8_0', 6, 32), 'q8_0', 6],
      /quantized_embedding: index 6 at \[0\] is out of range for size 6/,
    ],
    [[s.randn(2), sampleWeight(s, 'q8_0', 6, 32), 'q8_0', 6], /quantized_embedding: expected an index/],
  ],
})

/** A repacked weight of random codes and either sign, about 0.05 in size. */
function sampleWeight(s: Sampler, format: FormatName, N: number, K: number): Nd {
  const { head, words }: Format = FORMATS[format]
  const shape: Shape = [Math.ceil(N / 4), 4, rowBytes(format, K)]
  return Nd.of(
    shape,
    (i) => {
      const at = i % (8 * head + 16 * words)
      if (at >= 8 * head || at % 2 === 0) return Math.floor(s.next() * 256)
      return (s.next() < 0.5 ? 0x80 : 0) | (words === 8 ? 0x10 : 0x20) | Math.floor(s.next() * 4)
    },
    'uint8',
  )
}

/** What a repacked weight stands for: [rows rounded up to four, K]. */
function unpacked({ shape, data }: Nd, format: FormatName): Nd {
  const { head, words } = FORMATS[format]
  const group = 8 * head + 16 * words // bytes of four rows' block
  const K = (shape[2] / (group / 4)) * BLOCK
  return Nd.of([shape[0] * 4, K], (i) => {
    const [row, k] = [Math.floor(i / K), i % K]
    const lane = row % 4
    const at = Math.floor(row / 4) * 4 * shape[2] + Math.floor(k / BLOCK) * group
    const half = (h: number) => fromFloat16(data[at + 8 * h + 2 * lane] + 256 * data[at + 8 * h + 2 * lane + 1])
    const e = k % BLOCK
    const inWord = words === 8 ? e : e % 16
    const byte = data[at + 8 * head + 16 * Math.floor(inWord / 4) + 4 * lane + (inWord % 4)]
    if (words === 8) return half(0) * (byte < 128 ? byte : byte - 256)
    const code = e < 16 ? byte & 15 : byte >> 4
    return head === 2 ? half(0) * code + half(1) : half(0) * (code - 8)
  })
}
