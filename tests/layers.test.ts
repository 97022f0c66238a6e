// The layers of docs/architecture.md: which folder may import from which, and nothing of Node's at the top of what a browser loads.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

/** Each layer with those that it may import from, besides itself. */
const BELOW: Record<string, string[]> = { util: [], wasm: ['util'] }
for (const [layers, below] of [
  [['tensor'], ['wasm']],
  [['io'], ['tensor']],
  [['hub'], ['io']],
  [['tokenizers'], ['hub', 'io']],
  [['ops'], ['tensor']],
  [['nn', 'optim'], ['ops']],
  [['quant'], ['nn']],
  [['models'], ['nn', 'optim', 'quant', 'hub', 'io']],
  [['generation'], ['models', 'tokenizers']],
  [['pipelines'], ['generation']],
  [['cli'], ['pipelines']],
])
  for (const layer of layers) BELOW[layer] = [...new Set([...below, ...below.flatMap((name) => BELOW[name])])]

interface Import {
  from: string
  to: string
  typeOnly: boolean
  /** Whether the module is loaded with the one that imports it, not later. */
  atOnce: boolean
}

/** Imports of a source file. Strings in comments do not count. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join('src', file), 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
  const resolve = (to: string) => (to.startsWith('.') ? join(dirname(file), to) : to)
  const found: Import[] = []
  for (const [, kind, to] of text.matchAll(/^(?:import|export)\b(\s+type\b)?(?:[^'";]*?\bfrom\s*)?\s*'([^']+)'/gm))
    found.push({ from: file, to: resolve(to), typeOnly: kind !== undefined, atOnce: true })
  for (const [, to] of text.matchAll(/(?<!typeof )\bimport\(\s*'([^']+)'\s*\)/g))
    found.push({ from: file, to: resolve(to), typeOnly: false, atOnce: false })
  return found
}

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
const imports = files.flatMap(importsOf)

test('finds the imports', () => {
  assert.ok(imports.some(({ from, to }) => from === 'wasm/index.ts' && to === 'util/errors.ts'))
  assert.ok(imports.some(({ from, to, typeOnly }) => from === 'wasm/pool.ts' && to === 'wasm/allocator.ts' && typeOnly))
})

test('layers import only from those below them', () => {
  const wrong: string[] = []
  for (const { from, to } of imports) {
    if (!from.includes('/') || !to.endsWith('.ts')) continue // src/index.ts gathers everything
    const [layer, target] = [from.split('/')[0], to.includes('/') ? to.split('/')[0] : '']
    if (!Object.hasOwn(BELOW, layer)) wrong.push(`${from}: the layer ${layer} is not in the table`)
    else if (layer !== target && target !== '' && !BELOW[layer].includes(target)) wrong.push(`${from} imports ${to}`)
  }
  assert.is(wrong.join('\n'), '')
})

test('what a browser loads imports nothing of Node at its top', () => {
  const reached = new Set(['index.ts'])
  for (const file of reached)
    for (const { from, to, typeOnly } of imports) {
      if (from !== file || typeOnly) continue
      assert.not.match(to, /^node:/, `${from} imports ${to}`)
      if (to.endsWith('.ts')) reached.add(to)
    }
  assert.ok(reached.size > 10, `${reached.size} files are reached from src/index.ts`)
})

test.run()
