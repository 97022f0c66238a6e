// The op table, and Tensor's methods from it. A file of ops adds one line to `methods` (ops that are also methods of Tensor)
// or to `functional` (those that are functions only).
import { setArithmetic } from '../tensor/autograd.ts'
import { Tensor } from '../tensor/tensor.ts'
import * as attentionOps from './attention.ts'
import * as binaryOps from './binary.ts'
import * as bracketOps from './brackets.ts'
import * as castingOps from './casting.ts'
import * as compareOps from './compare.ts'
import * as convOps from './conv.ts'
import * as inPlaceOps from './inplace.ts'
import { packed } from './copying.ts'
import { full } from './creation.ts'
import { cast } from './elementwise.ts'
import { embedding } from './embedding.ts'
import * as indexingOps from './indexing.ts'
import * as lossOps from './loss.ts'
import * as maskOps from './masks.ts'
import * as matmulOps from './matmul.ts'
import * as movementOps from './movement.ts'
import * as normOps from './norm.ts'
import type { Methods, OpDescription } from './op.ts'
import { type PlainMethods, plainMethods } from './plain.ts'
import * as poolOps from './pool.ts'
import * as randomOps from './random.ts'
import * as reduceOps from './reduce.ts'
import * as ropeOps from './rope.ts'
import * as samplingOps from './sampling.ts'
import * as scanOps from './scan.ts'
import * as selectiveScanOps from './selective-scan.ts'
import * as softmaxOps from './softmax.ts'
import * as sortOps from './sort.ts'
import * as unaryOps from './unary.ts'

// Ops of lists of tensors are functions only.
const { broadcast_tensors, cat, stack, ...movement } = movementOps

const { einsum, linear, ...matmul } = matmulOps
const { one_hot, ...masks } = maskOps
const { dropout, ...sampling } = samplingOps
const { where, ...compare } = compareOps
const { softmin, ...softmax } = softmaxOps

const methods = {
  ...binaryOps,
  ...bracketOps,
  ...castingOps,
  ...compare,
  ...inPlaceOps,
  ...indexingOps,
  ...masks,
  ...matmul,
  ...movement,
  ...randomOps,
  ...reduceOps,
  ...sampling,
  ...scanOps,
  ...softmax,
  ...sortOps,
  ...unaryOps,
}
const functional = {
  ...attentionOps,
  ...convOps,
  ...lossOps,
  ...normOps,
  ...poolOps,
  ...ropeOps,
  ...selectiveScanOps,
  dropout,
  embedding,
  softmin,
  where,
  one_hot,
  einsum,
  linear,
  broadcast_tensors,
  cat,
  stack,
}

type AnyOp = { readonly def: OpDescription }
function opsOf(namespace: object): [string, AnyOp][] {
  return Object.entries(namespace).filter(
    (entry): entry is [string, AnyOp] => typeof entry[1] === 'function' && 'def' in entry[1],
  )
}

/** Every op there is. */
export const ops: readonly [string, AnyOp][] = [...opsOf(methods), ...opsOf(functional)]
/** The table: descriptions by name, which the test of the table walks. */
export const table: ReadonlyMap<string, OpDescription> = new Map(ops.map(([name, op]) => [name, op.def]))

/** Gives Tensor a method, which calls the function with the tensor first. */
function addMethod(name: string, fn: (...all: never[]) => unknown): void {
  if (name in Tensor.prototype) throw new Error(`Tensor already has ${name}`)
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...args: unknown[]) {
      return (fn as (...all: unknown[]) => unknown)(this, ...args)
    },
    configurable: true,
    writable: true,
  })
}
for (const [name, op] of opsOf(methods)) addMethod(name, op as unknown as () => unknown)

for (const [name, fn] of Object.entries(plainMethods)) addMethod(name, fn)

setArithmetic({
  add: (a, b) => binaryOps.add(a, b),
  addInPlace: (a, b) => void inPlaceOps.add_(a, b),
  zeros: (shape, dtype) => full(shape, 0, { dtype }),
  ones: (shape, dtype) => full(shape, 1, { dtype }),
  copy: (t, dtype) => (t.dtype === dtype ? packed(t) : cast(t, dtype)),
})

declare module '../tensor/tensor.ts' {
  interface Tensor extends Omit<Methods<typeof methods>, 'max' | 'min'>, PlainMethods {
    max: reduceOps.ManyFold
    min: reduceOps.ManyFold
  }
}
