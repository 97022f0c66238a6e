// The op table, and Tensor's methods from it. A file of ops adds one line to `methods` (ops that are also methods of Tensor)
// or to `functional` (those that are functions only).
import { Tensor } from '../tensor/tensor.ts'
import * as bracketOps from './brackets.ts'
import * as convOps from './conv.ts'
import { embedding } from './embedding.ts'
import * as indexingOps from './indexing.ts'
import * as maskOps from './masks.ts'
import * as matmulOps from './matmul.ts'
import * as movementOps from './movement.ts'
import type { Methods, OpDescription } from './op.ts'
import * as poolOps from './pool.ts'
import * as randomOps from './random.ts'
import * as samplingOps from './sampling.ts'
import * as scanOps from './scan.ts'
import * as sortOps from './sort.ts'

// Ops of lists of tensors are functions only.
const { broadcast_tensors, cat, stack, ...movement } = movementOps

const { einsum, linear, ...matmul } = matmulOps
const { one_hot, ...masks } = maskOps
const { dropout, ...sampling } = samplingOps

const methods = {
  ...bracketOps,
  ...indexingOps,
  ...masks,
  ...matmul,
  ...movement,
  ...randomOps,
  ...sampling,
  ...scanOps,
  ...sortOps,
}
const functional = {
  ...convOps,
  ...poolOps,
  dropout,
  embedding,
  one_hot,
  einsum,
  linear,
  broadcast_tensors,
  cat,
  stack,
}

type AnyOp = { readonly def: OpDescription }
function opsOf(namespace: object): [string, AnyOp][] {
  return Object.entries(namespace).filter((entry): entry is [string, AnyOp] => typeof entry[1] === 'function' && 'def' in entry[1])
}

/** Every op there is. */
export const ops: readonly [string, AnyOp][] = [...opsOf(methods), ...opsOf(functional)]
/** The table: descriptions by name, which the test of the table walks. */
export const table: ReadonlyMap<string, OpDescription> = new Map(ops.map(([name, op]) => [name, op.def]))

for (const [name, op] of opsOf(methods)) {
  if (name in Tensor.prototype) throw new Error(`Tensor already has ${name}`)
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...args: never[]) {
      return (op as unknown as (...all: unknown[]) => unknown)(this, ...args)
    },
    configurable: true,
    writable: true,
  })
}

declare module '../tensor/tensor.ts' {
  interface Tensor extends Methods<typeof methods> {}
}
