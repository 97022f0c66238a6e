// Printing, character by character as PyTorch prints: four digits, aligned columns, lines of 80 columns, and of more than
// 1,000 elements only the edges. Only what is shown is read.
import { fromBfloat16, fromFloat16 } from './half.ts'
import type { Tensor } from './tensor.ts'

const DIGITS = 4
const SUMMARIZE_ABOVE = 1000
const EDGE = 3
const WIDTH = 80
const PREFIX = 'tensor('

/** Text of a tensor, as `str(tensor)` gives in Python. */
export function printTensor(tensor: Tensor): string {
  const { shape, dtype, grad_fn } = tensor
  const empty = tensor.numel() === 0
  const suffixes: string[] = []
  if (empty && shape.length !== 1) suffixes.push(`size=(${shape.join(', ')})`)
  if (dtype !== 'float32' && (empty || (dtype !== 'int64' && dtype !== 'bool'))) suffixes.push(`dtype=torch.${dtype}`)
  if (grad_fn) suffixes.push(`grad_fn=<${nodeName(grad_fn.name)}>`)
  else if (tensor.requires_grad) suffixes.push('requires_grad=True')

  let out = PREFIX + (empty ? '[]' : elements(tensor))
  let column = out.length - out.lastIndexOf('\n') + 1
  for (const suffix of suffixes) {
    const breaks = column + suffix.length + 2 > WIDTH
    out += breaks ? `,\n${' '.repeat(PREFIX.length)}${suffix}` : `, ${suffix}`
    column = breaks ? PREFIX.length + suffix.length : column + suffix.length + 2
  }
  return `${out})`
}

/** scaled_dot_product_attention → ScaledDotProductAttentionBackward0 */
function nodeName(op: string): string {
  return `${op.replace(/(^|_)(\w)/g, (_, __, c: string) => c.toUpperCase())}Backward0`
}

type Value = number | bigint | boolean

function elements(tensor: Tensor): string {
  const { shape, strides, ndim } = tensor
  const summarize = tensor.numel() > SUMMARIZE_ABOVE
  const read = reader(tensor)
  /** Positions that are shown along each dimension; null stands for the dots. */
  const shown = shape.map((size) => {
    if (summarize && size > 2 * EDGE) return [0, 1, 2, null, size - 3, size - 2, size - 1]
    return Array.from({ length: size }, (_, i) => i)
  })
  const visible: Value[] = []
  const gather = (dim: number, at: number) => {
    if (dim === ndim) visible.push(read(at))
    else for (const i of shown[dim]) if (i !== null) gather(dim + 1, at + i * strides[dim])
  }
  gather(0, 0)
  const { format, width } = tensor.is_floating_point() ? floatFormat(visible as number[]) : plainFormat(visible)
  if (ndim === 0) return format(visible[0])

  const nest = (dim: number, at: number): string => {
    const margin = PREFIX.length + dim
    const indent = ' '.repeat(margin + 1)
    if (dim < ndim - 1) {
      const parts = shown[dim].map((i) => (i === null ? '...' : nest(dim + 1, at + i * strides[dim])))
      return `[${parts.join(`,${'\n'.repeat(ndim - dim - 1)}${indent}`)}]`
    }
    const cells = shown[dim].map((i) => (i === null ? ' ...' : format(read(at + i * strides[dim]))))
    const perLine = Math.max(1, Math.floor((WIDTH - margin) / (width + 2)))
    const lines: string[] = []
    for (let i = 0; i < cells.length; i += perLine) lines.push(cells.slice(i, i + perLine).join(', '))
    return `[${lines.join(`,\n${indent}`)}]`
  }
  return nest(0, 0)
}

/** Gives the element at so many steps from the first. */
function reader(tensor: Tensor): (at: number) => Value {
  const heap = tensor.reach()
  switch (tensor.dtype) {
    case 'bool':
      return (at) => heap[at] !== 0
    case 'float16':
      return (at) => fromFloat16(heap[at] as number)
    case 'bfloat16':
      return (at) => fromBfloat16(heap[at] as number)
    default:
      return (at) => heap[at]
  }
}

interface Format {
  format: (x: Value) => string
  /** Of every text, padded; infinities and NaN may be wider, as in torch. */
  width: number
}

function plainFormat(values: Value[]): Format {
  const text = (x: Value) => (typeof x === 'boolean' ? (x ? 'True' : 'False') : String(x))
  const width = values.reduce<number>((w, x) => Math.max(w, text(x).length), 1)
  return { format: (x) => text(x).padStart(width), width }
}

/** One of three ways for all: whole numbers, four decimals, or scientific where magnitudes are far apart or extreme. */
function floatFormat(values: number[]): Format {
  const usual = values.filter((x) => Number.isFinite(x) && x !== 0)
  const whole = usual.every(Number.isInteger)
  const sizes = usual.map(Math.abs)
  const max = sizes.reduce((a, b) => Math.max(a, b), 0)
  const min = sizes.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  const scientific = usual.length > 0 && (max / min > 1000 || max > 1e8 || min < 1e-4)
  const text = (x: number) => {
    if (Number.isNaN(x)) return 'nan'
    if (!Number.isFinite(x)) return x > 0 ? 'inf' : '-inf'
    if (scientific) return toScientific(x)
    return whole ? `${withSign(x, (a) => a.toFixed(0))}.` : toFixed(x)
  }
  const width = usual.reduce((w, x) => Math.max(w, text(x).length), 1)
  return { format: (x) => text(x as number).padStart(width), width }
}

/** With the sign of -0, which JavaScript leaves out. */
function withSign(x: number, text: (size: number) => string): string {
  return `${x < 0 || Object.is(x, -0) ? '-' : ''}${text(Math.abs(x))}`
}

/** JavaScript rounds a tie up, Python to even: the last digit of a tie that came out odd goes down by one. */
function toEven(rounded: string, exact: string): string {
  const tie = /5$/.test(exact.replace(/0+$/, '')) && exact.replace(/0+$/, '').length === rounded.length + 1
  return tie && Number(rounded.at(-1)) % 2 === 1 ? rounded.slice(0, -1) + (Number(rounded.at(-1)) - 1) : rounded
}

function toFixed(x: number): string {
  return withSign(x, (size) => toEven(size.toFixed(DIGITS), size.toFixed(100)))
}

/** Python's exponent has at least two digits: 1.0000e-05. */
function toScientific(x: number): string {
  return withSign(x, (size) => {
    const [digits, exponent] = size.toExponential(DIGITS).split('e')
    const [exact] = size.toExponential(100).split('e')
    return `${toEven(digits, exact)}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`
  })
}
