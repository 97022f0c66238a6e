// Runs a script in every runtime that is installed.
//   npm install --prefix tests/runtimes
//   node tests/runtimes/run.mjs SCRIPT [argument …]
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findRuntimes, runIn } from './runtimes.mjs'

const [script, ...args] = process.argv.slice(2)
if (!script) {
  console.error('usage: node tests/runtimes/run.mjs SCRIPT [argument …]')
  process.exit(1)
}
const { found, missing } = findRuntimes(dirname(fileURLToPath(import.meta.url)))
let failed = 0
for (const runtime of found) {
  const result = await runIn(runtime, script, args)
  if (!result.ok) failed++
  console.log(`${result.ok ? 'ok  ' : 'FAIL'} ${result.runtime}  ${result.ms} ms${result.why && `  ${result.why}`}`)
  console.log((result.stdout + result.stderr).replace(/^(?=.)/gm, '     ').trimEnd())
}
if (missing.length) console.log(`SKIP ${missing.join(', ')}: npm install --prefix tests/runtimes`)
console.log(`${found.length - failed} passed, ${failed} failed`)
process.exit(failed ? 1 : 0)
