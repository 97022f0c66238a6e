// Matrix products: everything that ends in gemm. Transposed operands are never copied: the kernels take their strides.
import { type DType, isFloating, promoteTypes } from '../tensor/dtype.ts'
import { broadcastShapes, broadcastStrides, contiguousStrides, numelOf, type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { DTypeError, RushlightError, ShapeError } from '../util/errors.ts'
import { asContiguous, packed } from './copying.ts'
import { cast } from './elementwise.ts'
import { gemm, type MatrixView } from './gemm.ts'
import { compose, defineOp } from './op.ts'
import { Nd } from './reference.ts'
import { sumTo } from './sum-to.ts'

/** The last two dimensions as gemm sees them, with the distance between batches. */
function matrix(t: Tensor, batch: number): MatrixView {
  const { ptr, dtype, strides, ndim } = t
  return { ptr, dtype, rows: strides[ndim - 2], cols: strides[ndim - 1], batch }
}

/** The batches of a tensor (…,m,k) broadcast to `lead`, at a uniform distance. A layout that has none is copied. */
function batched(t: Tensor, lead: Shape): MatrixView {
  const shape = [...lead, ...t.shape.slice(-2)]
  const strides = broadcastStrides(t.shape, t.strides, shape)
  // From the last batch dimension on: each must be as far apart as the ones behind it are long.
  let distance: number | null = null
  let expected = 0
  for (let d = lead.length - 1; d >= 0; d--) {
    if (lead[d] === 1) continue
    distance ??= expected = strides[d]
    if (strides[d] !== expected) return matrix(packed(t.alias(shape, strides)), numelOf(t.shape.slice(-2)))
    expected *= lead[d]
  }
  return matrix(t, distance ?? 0)
}

/** a (…,m,k) by b (…,k,n), whose batch dimensions broadcast; bias [n]. float32 out. */
function product(op: string, a: Tensor, b: Tensor, bias: Tensor | null = null): Tensor {
  const [m, k] = [a.shape[a.ndim - 2], a.shape[a.ndim - 1]]
  const [k2, n] = [b.shape[b.ndim - 2], b.shape[b.ndim - 1]]
  if (k !== k2)
    throw new ShapeError(
      `${op}: shapes ${show(a.shape)} and ${show(b.shape)} cannot be multiplied: ${k} columns meet ${k2} rows`,
    )
  const lead = a.ndim === 2 && b.ndim === 2 ? [] : broadcastShapes(op, a.shape.slice(0, -2), b.shape.slice(0, -2))
  const out = Tensor.empty([...lead, m, n], 'float32', op)
  const batch = numelOf(lead)
  // One B for all batches of a contiguous A: they are one matrix with more rows.
  const flat = b.numel() === k * n && a.numel() === batch * m * k && a.is_contiguous()
  gemm({
    m: flat ? batch * m : m,
    n,
    k,
    batch: flat ? 1 : batch,
    a: flat ? { ptr: a.ptr, dtype: a.dtype, rows: k, cols: 1, batch: 0 } : batched(a, lead),
    b: flat ? matrix(b, 0) : batched(b, lead),
    c: { ptr: out.ptr, ld: n, batch: m * n },
    bias: bias?.ptr,
  })
  return out
}

/** float32 left operand; the right one may stay 16 bits wide. */
function operands(op: string, a: Tensor, b: Tensor): { a: Tensor; b: Tensor; dtype: DType } {
  const dtype = promoteTypes(a.dtype, b.dtype)
  if (!isFloating(a.dtype) || !isFloating(b.dtype))
    throw new DTypeError(`${op}: expected floating tensors, found ${a.dtype} and ${b.dtype}. Hint: .float()`)
  return { a: cast(a, 'float32'), b, dtype }
}

/** The last two dimensions exchanged, unrecorded. */
function swap(t: Tensor): Tensor {
  const order = (list: Shape) => [...list.slice(0, -2), list[t.ndim - 1], list[t.ndim - 2]]
  return t.alias(order(t.shape), order(t.strides))
}

/** The product of the last two dimensions, recorded; the others broadcast. */
const matrixProduct = defineOp({
  name: 'matmul',
  params: ['input', 'other'],
  forward(record, input: Tensor, other: Tensor): Tensor {
    const { a, b, dtype } = operands('matmul', input, other)
    return record(cast(product('matmul', a, b), dtype), [input, other], ([g], [x, y], needs) => [
      needs[0] ? sumTo(product('matmul', cast(g, 'float32'), swap(y)), x.shape) : null,
      needs[1] ? weightGradient(x, g, y) : null,
    ])
  },
  ref: (input: Nd) => input,
  samples: () => [],
})

/** xᵀ·g in the shape of y: over one matrix when y is shared by all batches, so that no gradient a batch is ever stored. */
function weightGradient(x: Tensor, g: Tensor, y: Tensor): Tensor {
  const [a, b] = [cast(x, 'float32'), cast(g, 'float32')]
  if (y.ndim === 2 && a.ndim > 2) {
    const rows = numelOf(a.shape.slice(0, -1))
    return product('matmul', swap(a.reshape([rows, a.shape[a.ndim - 1]])), b.reshape([rows, b.shape[b.ndim - 1]]))
  }
  return sumTo(product('matmul', swap(a), b), y.shape)
}

/** The f64 product of the last two dimensions. */
function reference(a: Nd, b: Nd): Nd {
  const [m, k] = a.shape.slice(-2)
  const n = b.shape[b.shape.length - 1]
  const lead = broadcastShapes('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2))
  const [x, y] = [a.expand([...lead, m, k]), b.expand([...lead, k, n])]
  return Nd.of(
    [...lead, m, n],
    (i) => {
      const [batch, row, col] = [Math.floor(i / (m * n)), Math.floor(i / n) % m, i % n]
      let sum = 0
      for (let p = 0; p < k; p++) sum += x.data[(batch * m + row) * k + p] * y.data[(batch * k + p) * n + col]
      return sum
    },
    promoteTypes(a.dtype, b.dtype),
  )
}

/** matmul's rule for vectors: one on the left is a row, one on the right a column, and that dimension goes away again. */
function asMatrices(a: Shape, b: Shape): { a: number[]; b: number[]; out: (shape: Shape) => number[] } {
  if (a.length === 0 || b.length === 0)
    throw new ShapeError(`matmul: shapes ${show(a)} and ${show(b)}: both need at least one dimension. Hint: mul`)
  return {
    a: a.length === 1 ? [1, a[0]] : [...a],
    b: b.length === 1 ? [b[0], 1] : [...b],
    out: (shape) => {
      const drop = [...(a.length === 1 ? [shape.length - 2] : []), ...(b.length === 1 ? [shape.length - 1] : [])]
      return shape.filter((_, d) => !drop.includes(d))
    },
  }
}

/** Matrix product (torch.matmul): vectors, matrices, and batches that broadcast. */
export const matmul = compose({
  name: 'matmul',
  params: ['input', 'other'],
  forward(input: Tensor, other: Tensor): Tensor {
    if (input.ndim >= 2 && other.ndim >= 2) return matrixProduct(input, other)
    const { a, b, out } = asMatrices(input.shape, other.shape)
    const result = matrixProduct(input.reshape(a), other.reshape(b))
    return result.reshape(out(result.shape))
  },
  ref(input: Nd, other: Nd) {
    const { a, b, out } = asMatrices(input.shape, other.shape)
    const result = reference(input.reshape(a), other.reshape(b))
    return result.reshape(out(result.shape))
  },
  samples: (s) => [
    [s.randn(3, 5), s.randn(5, 7)],
    [s.randn(1, 1), s.randn(1, 1)],
    [s.randn(4), s.randn(4)],
    [s.randn(4), s.randn(4, 3)],
    [s.randn(2, 3, 4), s.randn(4)],
    [s.randn(2, 3, 4), s.randn(4, 5)],
    [s.randn(2, 1, 3, 4), s.randn(5, 4, 2)],
    [s.randn(17, 33), s.randn(33, 9)],
    [s.randn(0, 3), s.randn(3, 2)],
    [s.randn(2, 0), s.randn(0, 3)],
    [s.randn(65, 70), s.randn(70, 67)],
    [s.randn(1, 130), s.randn(130, 37)],
    [s.randn(3, 20, 35), s.randn(3, 35, 20)],
  ],
  errors: (s) => [
    [
      [s.randn(2, 3), s.randn(4, 5)],
      /matmul: shapes \[2, 3\] and \[4, 5\] cannot be multiplied: 3 columns meet 4 rows/,
    ],
    [[s.randn(), s.randn(3)], /matmul: shapes \[\] and \[3\]: both need at least one dimension/],
    [[s.randint(0, 3, [2, 2]), s.randn(2, 2)], /matmul: expected floating tensors, found int64/],
  ],
})

function checkRank(op: string, t: Tensor, name: string, rank: number): void {
  if (t.ndim !== rank)
    throw new ShapeError(
      `${op}: ${name} must have ${rank} dimensions, found shape ${show(t.shape)}. Hint: matmul broadcasts`,
    )
}

/** Matrix by matrix, no broadcasting. */
export const mm = compose({
  name: 'mm',
  params: ['input', 'mat2'],
  forward(input: Tensor, mat2: Tensor): Tensor {
    checkRank('mm', input, 'input', 2)
    checkRank('mm', mat2, 'mat2', 2)
    return matrixProduct(input, mat2)
  },
  ref: reference,
  samples: (s) => [[s.randn(3, 5), s.randn(5, 2)]],
  errors: (s) => [[[s.randn(3), s.randn(3, 2)], /mm: input must have 2 dimensions/]],
})

/** A batch of matrices by a batch of matrices. */
export const bmm = compose({
  name: 'bmm',
  params: ['input', 'mat2'],
  forward(input: Tensor, mat2: Tensor): Tensor {
    checkRank('bmm', input, 'input', 3)
    checkRank('bmm', mat2, 'mat2', 3)
    if (input.shape[0] !== mat2.shape[0])
      throw new ShapeError(`bmm: batches of ${input.shape[0]} and ${mat2.shape[0]} differ`)
    return matrixProduct(input, mat2)
  },
  ref: reference,
  samples: (s) => [
    [s.randn(3, 2, 5), s.randn(3, 5, 4)],
    [s.randn(2, 21, 19), s.randn(2, 19, 23)],
  ],
  errors: (s) => [[[s.randn(2, 3, 4), s.randn(3, 4, 2)], /bmm: batches of 2 and 3 differ/]],
})

/** Matrix by vector. */
export const mv = compose({
  name: 'mv',
  params: ['input', 'vec'],
  forward(input: Tensor, vec: Tensor): Tensor {
    checkRank('mv', input, 'input', 2)
    checkRank('mv', vec, 'vec', 1)
    return matmul(input, vec)
  },
  ref: (input: Nd, vec: Nd) => reference(input, vec.reshape([vec.shape[0], 1])).reshape([input.shape[0]]),
  samples: (s) => [
    [s.randn(3, 5), s.randn(5)],
    [s.randn(37, 129), s.randn(129)],
  ],
})

/** Sum of the products of two vectors. */
export const dot = compose({
  name: 'dot',
  params: ['input', 'tensor'],
  forward(input: Tensor, tensor: Tensor): Tensor {
    checkRank('dot', input, 'input', 1)
    checkRank('dot', tensor, 'tensor', 1)
    return matmul(input, tensor)
  },
  ref: (input: Nd, tensor: Nd) =>
    reference(input.reshape([1, input.shape[0]]), tensor.reshape([tensor.shape[0], 1])).reshape([]),
  samples: (s) => [[s.randn(5), s.randn(5)]],
})

/** Each element of one vector by each of another. */
export const outer = compose({
  name: 'outer',
  params: ['input', 'vec2'],
  forward(input: Tensor, vec2: Tensor): Tensor {
    checkRank('outer', input, 'input', 1)
    checkRank('outer', vec2, 'vec2', 1)
    return matrixProduct(input.unsqueeze(1), vec2.unsqueeze(0))
  },
  ref: (input: Nd, vec2: Nd) => reference(input.reshape([input.shape[0], 1]), vec2.reshape([1, vec2.shape[0]])),
  samples: (s) => [
    [s.randn(3), s.randn(4)],
    [s.randn(0), s.randn(2)],
  ],
})

/** beta·input + alpha·(mat1·mat2). */
export const addmm = compose({
  name: 'addmm',
  params: ['input', 'mat1', 'mat2', 'beta', 'alpha'],
  forward(input: Tensor, mat1: Tensor, mat2: Tensor, beta: number = 1, alpha: number = 1): Tensor {
    checkRank('addmm', mat1, 'mat1', 2)
    checkRank('addmm', mat2, 'mat2', 2)
    const out = matrixProduct(mat1, mat2)
    return (alpha === 1 ? out : out.mul(alpha)).add(beta === 1 ? input : input.mul(beta))
  },
  ref: (input: Nd, mat1: Nd, mat2: Nd, beta: number = 1, alpha: number = 1) =>
    reference(mat1, mat2).zip(input, (p, x) => alpha * p + beta * x),
  samples: (s) => [
    [s.randn(4), s.randn(3, 2), s.randn(2, 4)],
    [s.randn(3, 4), s.randn(3, 2), s.randn(2, 4), 0.5, 2],
  ],
})

/** x·Wᵀ + b (torch.nn.functional.linear): input (…,in), weight (out,in) in any floating dtype, read as it is; bias (out). */
export const linear = defineOp({
  name: 'linear',
  params: ['input', 'weight', 'bias'],
  forward(record, input: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
    if (weight.ndim !== 2 || input.ndim === 0 || input.shape[input.ndim - 1] !== weight.shape[1])
      throw new ShapeError(
        `linear: input ${show(input.shape)} does not fit weight ${show(weight.shape)}: expected its last dimension to be ${weight.shape[1]}`,
      )
    if (bias && (bias.ndim !== 1 || bias.shape[0] !== weight.shape[0]))
      throw new ShapeError(
        `linear: bias ${show(bias.shape)} does not fit weight ${show(weight.shape)}: expected [${weight.shape[0]}]`,
      )
    if (!isFloating(input.dtype) || !isFloating(weight.dtype))
      throw new DTypeError(`linear: expected floating tensors, found ${input.dtype} and ${weight.dtype}`)
    const [n, k] = weight.shape
    const shape = [...input.shape.slice(0, -1), n]
    const rows = numelOf(input.shape.slice(0, -1))
    const x = asContiguous(cast(input, 'float32')).alias([rows, k], [k, 1])
    const b = bias ? asContiguous(cast(bias, 'float32')) : null
    const out = product('linear', x, swap(weight), b)
    const result = cast(out.alias(shape, contiguousStrides(shape)), input.dtype)
    return record(result, [input, weight], ([g], [xs, w], needs) => {
      const gs = cast(g, 'float32').reshape([rows, n])
      const grads = [
        needs[0] ? product('linear', gs, w).reshape(xs.shape) : null,
        needs[1] ? product('linear', swap(gs), cast(xs, 'float32').reshape([rows, k])) : null,
      ]
      return needs[2] ? [...grads, gs.sum(0)] : grads
    })
  },
  ref(input: Nd, weight: Nd, bias?: Nd | null) {
    const k = weight.shape[1]
    const out = reference(input.reshape([input.data.length / k, k]), weight.permute([1, 0]))
    const sum = bias ? out.zip(bias, (x, y) => x + y) : out
    return new Nd([...input.shape.slice(0, -1), weight.shape[0]], sum.data, input.dtype)
  },
  samples: (s) => [
    [s.randn(3, 5), s.randn(4, 5), s.randn(4)],
    [s.randn(5), s.randn(4, 5)],
    [s.randn(1, 70), s.randn(33, 70), s.randn(33)],
    [s.randn(2, 3, 65), s.randn(19, 65), s.randn(19)],
    [s.randn(30, 65), s.randn(19, 65), s.randn(19)],
    [s.randn(0, 4), s.randn(3, 4), s.randn(3)],
    [s.randn(2, 33, 64), s.randn(70, 64), null],
  ],
  errors: (s) => [
    [[s.randn(3, 4), s.randn(2, 5)], /linear: input \[3, 4\] does not fit weight \[2, 5\]/],
    [[s.randn(3, 5), s.randn(2, 5), s.randn(3)], /linear: bias \[3\] does not fit weight \[2, 5\]/],
  ],
})

/** An equation such as 'bij,bjk->bik', taken apart. Ellipses become letters of their own. */
function parseEinsum(equation: string, shapes: Shape[]): { terms: string[][]; out: string[] } {
  const [left, right, more] = equation.replaceAll(' ', '').split('->')
  const parts = left.split(',')
  if (more !== undefined || parts.length !== shapes.length)
    throw new RushlightError(`einsum: '${equation}' has ${parts.length} operands, ${shapes.length} tensors are given`)
  const widest = Math.max(
    ...parts.map((p, i) => (p.includes('...') ? shapes[i].length - p.replace('...', '').length : 0)),
  )
  const dots = (n: number) => Array.from({ length: n }, (_, i) => `.${widest - n + i}`)
  const split = (part: string, rank?: number): string[] => {
    const [a, b, c] = part.split('...')
    if (c !== undefined || !/^[a-zA-Z]*$/.test(a + (b ?? '')))
      throw new RushlightError(`einsum: '${part}' is not a list of letters with at most one ellipsis`)
    return b === undefined ? [...a] : [...a, ...dots(rank === undefined ? widest : rank - a.length - b.length), ...b]
  }
  const terms = parts.map((p, i) => split(p, shapes[i].length))
  terms.forEach((term, i) => {
    if (term.length !== shapes[i].length)
      throw new ShapeError(
        `einsum: '${parts[i]}' names ${term.length} dimensions, tensor ${i} has shape ${show(shapes[i])}`,
      )
  })
  const all = terms.flat()
  // Without an arrow: the letters that occur once, in alphabetical order, behind the ellipsis.
  const out =
    right === undefined
      ? [
          ...dots(widest),
          ...[...new Set(all)].filter((x) => !x.startsWith('.') && all.filter((y) => y === x).length === 1).sort(),
        ]
      : split(right)
  for (const x of out)
    if (!all.includes(x)) throw new RushlightError(`einsum: '${equation}': ${x} is in the output but in no operand`)
  return { terms, out }
}

/** Sums of products over named dimensions (torch.einsum). Operands are contracted from left to right. */
export const einsum = compose({
  name: 'einsum',
  params: ['equation', 'operands'],
  forward(equation: string, operands: Tensor[]): Tensor {
    const { terms, out } = parseEinsum(
      equation,
      operands.map((x) => x.shape),
    )
    const list = operands.map((x, i) => withoutRepeats(x, terms[i]))
    let result = list[0]
    for (let i = 1; i < list.length; i++)
      result = contract(result, list[i], new Set([...out, ...list.slice(i + 1).flatMap((x) => x.term)]))
    const summed = result.term.flatMap((x, d) => (out.includes(x) ? [] : [d]))
    const x = summed.length ? result.tensor.sum(summed) : result.tensor
    const term = result.term.filter((y) => out.includes(y))
    return x.permute(out.map((y) => term.indexOf(y)))
  },
  ref(equation: string, operands: Nd[]) {
    const { terms, out } = parseEinsum(
      equation,
      operands.map((x) => x.shape),
    )
    const sizes = new Map<string, number>()
    terms.forEach((term, i) => term.forEach((x, d) => sizes.set(x, Math.max(sizes.get(x) ?? 1, operands[i].shape[d]))))
    const inner = [...sizes.keys()].filter((x) => !out.includes(x))
    const names = [...out, ...inner]
    const shape = out.map((x) => sizes.get(x) as number)
    const data = new Float64Array(numelOf(shape))
    const at = new Map<string, number>()
    const visit = (depth: number, position: number) => {
      if (depth === names.length) {
        data[position] += operands.reduce(
          (p, x, i) => p * x.at(...terms[i].map((y, d) => (x.shape[d] === 1 ? 0 : (at.get(y) as number)))),
          1,
        )
        return
      }
      const size = sizes.get(names[depth]) as number
      for (let i = 0; i < size; i++) {
        at.set(names[depth], i)
        visit(depth + 1, depth < out.length ? position * size + i : position)
      }
    }
    visit(0, 0)
    return new Nd(shape, data)
  },
  samples: (s) => [
    ['ij,jk->ik', [s.randn(3, 4), s.randn(4, 5)]],
    ['bij,bjk->bik', [s.randn(2, 3, 4), s.randn(2, 4, 5)]],
    ['ij->ji', [s.randn(3, 4)]],
    ['ii->i', [s.randn(3, 3)]],
    ['ii', [s.randn(3, 3)]],
    ['i,j->ij', [s.randn(3), s.randn(4)]],
    ['ij,ij->', [s.randn(3, 4), s.randn(3, 4)]],
    ['...ij,...jk->...ik', [s.randn(2, 1, 3, 4), s.randn(5, 4, 2)]],
    ['bhid,bhjd->bhij', [s.randn(2, 2, 3, 4), s.randn(2, 2, 5, 4)]],
    ['ij,jk,kl->il', [s.randn(2, 3), s.randn(3, 4), s.randn(4, 2)]],
    ['ijk->k', [s.randn(2, 3, 4)]],
    ['ij,k->ik', [s.randn(2, 3), s.randn(4)]],
  ],
  errors: (s) => [
    [['ij,jk->il', [s.randn(2, 3), s.randn(3, 4)]], /einsum: .*l is in the output but in no operand/],
    [['ij->i', [s.randn(2)]], /einsum: 'ij' names 2 dimensions, tensor 0 has shape \[2\]/],
    [['ij,jk', [s.randn(2, 3)]], /einsum: .*2 operands, 1 tensors/],
  ],
})

interface Term {
  tensor: Tensor
  term: string[]
}

/** A letter that an operand names twice is a diagonal. */
function withoutRepeats(tensor: Tensor, term: string[]): Term {
  for (let i = 0; i < term.length; i++) {
    const j = term.indexOf(term[i], i + 1)
    if (j < 0) continue
    const rest = term.filter((_, d) => d !== i && d !== j)
    return withoutRepeats(tensor.diagonal(0, i, j), [...rest, term[i]])
  }
  return { tensor, term: [...term] }
}

/** Two operands to one, summed over the letters that nobody needs any more: as a batch of matrix products. */
function contract(a: Term, b: Term, kept: Set<string>): Term {
  const left = presum(a, (x) => kept.has(x) || b.term.includes(x))
  const right = presum(b, (x) => kept.has(x) || a.term.includes(x))
  const shared = left.term.filter((x) => right.term.includes(x))
  const batch = shared.filter((x) => kept.has(x))
  const summed = shared.filter((x) => !kept.has(x))
  const rows = left.term.filter((x) => !shared.includes(x))
  const cols = right.term.filter((x) => !shared.includes(x))
  const size = (x: string) => {
    const [p, q] = [left, right].map(({ tensor, term }) => (term.includes(x) ? tensor.shape[term.indexOf(x)] : 1))
    if (p !== q && p !== 1 && q !== 1) throw new ShapeError(`einsum: ${x} is ${p} in one operand and ${q} in another`)
    return Math.max(p, q)
  }
  const count = (names: string[]) => names.reduce((n, x) => n * size(x), 1)
  const arranged = ({ tensor, term }: Term, names: string[], shape: number[]) =>
    tensor
      .permute(names.map((x) => term.indexOf(x)))
      .expand(names.map(size))
      .reshape(shape)
  const x = arranged(left, [...batch, ...rows, ...summed], [count(batch), count(rows), count(summed)])
  const y = arranged(right, [...batch, ...summed, ...cols], [count(batch), count(summed), count(cols)])
  const names = [...batch, ...rows, ...cols]
  return { tensor: matrixProduct(x, y).reshape(names.map(size)), term: names }
}

function presum({ tensor, term }: Term, keeps: (x: string) => boolean): Term {
  const dims = term.flatMap((x, d) => (keeps(x) ? [] : [d]))
  return dims.length ? { tensor: tensor.sum(dims), term: term.filter(keeps) } : { tensor, term }
}
