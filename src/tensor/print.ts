// Printing as torch prints: four digits, aligned columns, 80 columns wide, more than 1,000 elements summarized by their edges.
import type { Tensor } from './tensor.ts'

const DIGITS = 4
const SUMMARIZE_ABOVE = 1000
const EDGE = 3
const WIDTH = 80

/** Python's exponent has at least two digits: 1.0000e-05. */
function scientific(x: number): string {
  return x.toExponential(DIGITS).replace(/e([+-])(\d)$/, 'e$10$2')
}

function special(x: number): string | null {
  if (Number.isNaN(x)) return 'nan'
  if (!Number.isFinite(x)) return x > 0 ? 'inf' : '-inf'
  return null
}

/** One format for all elements, chosen from their magnitudes. */
function formatter(values: (number | boolean)[], floating: boolean): (x: number | boolean) => string {
  let text: (x: number | boolean) => string
  if (!floating) text = (x) => (typeof x === 'boolean' ? (x ? 'True' : 'False') : String(x))
  else {
    const sizes = (values as number[]).filter((x) => Number.isFinite(x) && x !== 0).map(Math.abs)
    const whole = (values as number[]).every((x) => !Number.isFinite(x) || Number.isInteger(x))
    const max = sizes.reduce((a, b) => Math.max(a, b), 0)
    const min = sizes.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
    const wide = sizes.length > 0 && (max / min > 1000 || max > 1e8)
    if (wide || (!whole && min < 1e-4)) text = (x) => special(x as number) ?? scientific(x as number)
    else if (whole) text = (x) => special(x as number) ?? `${Object.is(x, -0) ? '-0' : (x as number).toFixed(0)}.`
    else text = (x) => special(x as number) ?? (x as number).toFixed(DIGITS)
  }
  const width = values.reduce<number>((w, x) => Math.max(w, text(x).length), 0)
  return (x) => text(x).padStart(width)
}

/** Positions shown along an axis; null stands for the dots. */
function shown(size: number, summarize: boolean): (number | null)[] {
  if (!summarize || size <= 2 * EDGE) return Array.from({ length: size }, (_, i) => i)
  return [0, 1, 2, null, size - 3, size - 2, size - 1]
}

/** Text of a tensor, as `str(tensor)` gives in Python. */
export function printTensor(tensor: Tensor): string {
  const { shape, dtype } = tensor
  const suffix: string[] = []
  if (tensor.numel() === 0 && shape.length !== 1) suffix.push(`size=(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`)
  if (dtype !== 'float32' && dtype !== 'int64' && dtype !== 'bool') suffix.push(`dtype=torch.${dtype}`)
  else if (tensor.numel() === 0 && dtype !== 'float32') suffix.push(`dtype=torch.${dtype}`)
  if (tensor.grad_fn) suffix.push(`grad_fn=<${nodeName(tensor.grad_fn.name)}>`)
  else if (tensor.requires_grad) suffix.push('requires_grad=True')

  const prefix = 'tensor('
  const body = tensor.numel() === 0 ? '[]' : elements(tensor, prefix.length)
  let out = prefix + body
  let column = out.length - (out.lastIndexOf('\n') + 1) + 1
  for (const part of suffix) {
    if (column + part.length + 2 > WIDTH) {
      out += `,\n${' '.repeat(prefix.length)}${part}`
      column = prefix.length + part.length
    } else {
      out += `, ${part}`
      column += part.length + 2
    }
  }
  return `${out})`
}

/** scaled_dot_product_attention → ScaledDotProductAttentionBackward0 */
function nodeName(op: string): string {
  return `${op.replace(/(^|_)(\w)/g, (_, __, c: string) => c.toUpperCase())}Backward0`
}

function elements(tensor: Tensor, indent: number): string {
  const { shape } = tensor
  const summarize = tensor.numel() > SUMMARIZE_ABOVE
  const flat = tensor.alias()
  let list: unknown
  try {
    list = flat.tolist()
  } finally {
    flat.dispose()
  }
  const visible: (number | boolean)[] = []
  const gather = (x: unknown, dim: number) => {
    if (dim === shape.length) visible.push(x as number)
    else for (const i of shown(shape[dim], summarize)) if (i !== null) gather((x as unknown[])[i], dim + 1)
  }
  gather(list, 0)
  const format = formatter(visible, tensor.is_floating_point())
  if (shape.length === 0) return format(list as number)
  const perLine = (depth: number) => Math.max(1, Math.floor((WIDTH - indent - depth) / (format(visible[0]).length + 2)))

  const nest = (x: unknown[], dim: number): string => {
    const margin = ' '.repeat(indent + dim + 1)
    const positions = shown(shape[dim], summarize)
    if (dim < shape.length - 1) {
      const rows = positions.map((i) => (i === null ? '...' : nest(x[i] as unknown[], dim + 1)))
      return `[${rows.join(`,${'\n'.repeat(shape.length - dim - 1)}${margin}`)}]`
    }
    const cells = positions.map((i) => (i === null ? ' ...' : format(x[i] as number)))
    const lines: string[] = []
    for (let i = 0; i < cells.length; i += perLine(dim)) lines.push(cells.slice(i, i + perLine(dim)).join(', '))
    return `[${lines.join(`,\n${margin}`)}]`
  }
  return nest(list as unknown[], 0)
}
