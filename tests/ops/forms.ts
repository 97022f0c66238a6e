// Ops checked in every form of the core that there is: both builds, 1 and 2 threads, tiny chunks, the heap at 3 GiB.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { init } from '../../src/wasm/index.ts'
import { checkOp } from './check.ts'

// RUSHLIGHT_OP=softmax checks one op; RUSHLIGHT_VARIANT=0 one form.
const only = process.env.RUSHLIGHT_OP
const onlyVariant = process.env.RUSHLIGHT_VARIANT

const variants = [
  { name: 'relaxed, 1 thread', wasm: 'relaxed', threads: 1, views: true },
  { name: 'relaxed, 2 threads, tiny chunks', wasm: 'relaxed', threads: 2, divisor: 64, sameAs: 0 },
  { name: 'relaxed, 2 threads, heap at 3 GiB', wasm: 'relaxed', threads: 2, base: 3 * 2 ** 30, sameAs: 0 },
  { name: 'simd, 1 thread', wasm: 'simd', threads: 1 },
  { name: 'simd, 2 threads, tiny chunks', wasm: 'simd', threads: 2, divisor: 64, sameAs: 3 },
] as const

/** Registers a test for each op in each form. */
export function testInEveryForm(ops: readonly (readonly [name: string, op: unknown])[]): void {
  const digests: Map<string, string>[] = variants.map(() => new Map())
  variants.forEach((variant, v) => {
    if (onlyVariant !== undefined && Number(onlyVariant) !== v) return
    test(`${variant.name}: starts`, async () => {
      process.env.RUSHLIGHT_HEAP_BASE = 'base' in variant ? String(variant.base) : ''
      process.env.RUSHLIGHT_GRAIN_DIVISOR = 'divisor' in variant ? String(variant.divisor) : ''
      await init({ wasm: variant.wasm, threads: variant.threads })
    })
    for (const [name, op] of ops) {
      if (only && name !== only) continue
      test(`${variant.name}: ${name}`, () => {
        const digest = checkOp(op as never, 'views' in variant)
        digests[v].set(name, digest)
        const other = 'sameAs' in variant ? digests[variant.sameAs].get(name) : undefined
        if (other !== undefined)
          assert.ok(
            other === digest,
            `${name}: results differ from those of ${variants[(variant as { sameAs: number }).sameAs].name}`,
          )
      })
    }
  })
}
