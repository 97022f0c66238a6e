// The op table, and Tensor's methods from it. A file of ops adds one line to `methods` (ops that are also methods of Tensor)
// or to `functional` (those that are functions only).
import { Tensor } from '../tensor/tensor.ts'
import type { Methods, Op, OpDescription } from './op.ts'

const methods = {}
const functional = {}

type AnyOp = Op<never[], unknown, unknown>
function opsOf(namespace: object): [string, AnyOp][] {
  return Object.entries(namespace).filter((entry): entry is [string, AnyOp] => typeof entry[1] === 'function' && 'def' in entry[1])
}

/** Every op there is, by name: what the test of the table walks. */
export const table: ReadonlyMap<string, OpDescription> = new Map([...opsOf(methods), ...opsOf(functional)].map(([name, op]) => [name, op.def]))

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
