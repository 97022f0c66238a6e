// Runs every tests/**/*.test.ts: bundles them together, runs each file in a process of its own, and ends with `N passed, N failed`.
//   node tests/run.mjs [part of a path …]
import { spawn } from 'node:child_process'
import { readdir, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as esbuild from 'esbuild'
import { bundleOptions } from '../build.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const wanted = process.argv.slice(2).filter((a) => !a.startsWith('-'))
const out = join(root, 'build/tests')

const files = (await readdir(join(root, 'tests'), { recursive: true }))
  .filter((f) => f.endsWith('.test.ts') && (wanted.length === 0 || wanted.some((w) => join('tests', f).includes(w))))
  .map((f) => join('tests', f))
  .sort()
await rm(out, { recursive: true, force: true })
await esbuild.build({
  ...bundleOptions,
  platform: 'node',
  entryPoints: files,
  outbase: 'tests',
  outdir: out,
  outExtension: { '.js': '.mjs' },
})

// The command line as a program of its own, for the tests that run it as a process.
await esbuild.build({
  ...bundleOptions,
  splitting: false,
  platform: 'node',
  entryPoints: ['src/cli/main.ts'],
  outfile: join(out, 'rushlight-cli.mjs'),
})

/** Runs one bundled test file; a crash, or a file that registers no test, counts as one failure. */
function runFile(file) {
  return new Promise((resolve) => {
    const started = performance.now()
    const script = join(out, relative('tests', file).replace(/\.ts$/, '.mjs'))
    const child = spawn(process.execPath, [script], { cwd: root, env: { ...process.env, FORCE_COLOR: '0' } })
    let output = ''
    child.stdout.on('data', (d) => (output += d))
    child.stderr.on('data', (d) => (output += d))
    child.on('close', (code, signal) => {
      const number = (name) =>
        [...output.matchAll(new RegExp(`^ {2}${name}:\\s+(\\d+)`, 'gm'))].reduce((sum, m) => sum + Number(m[1]), 0)
      const [total, passed, skipped] = [number('Total'), number('Passed'), number('Skipped')]
      let failed = total - passed
      if (failed === 0 && (code !== 0 || total + skipped === 0)) failed = 1
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      console.log(
        `${failed ? 'FAIL' : 'ok  '} ${file}  ${passed} passed${skipped ? `, ${skipped} skipped` : ''}${failed ? `, ${failed} failed` : ''}  (${seconds}s)`,
      )
      const notes = output.split('\n').filter((line) => line.startsWith('SKIP')) // a test that cannot run here says why
      if (failed) console.log(output + (code !== 0 ? `exit ${code ?? signal}` : ''))
      else for (const note of notes) console.log(`     ${note}`)
      resolve({ passed, failed, skipped })
    })
  })
}

const totals = { passed: 0, failed: 0, skipped: 0 }
const queue = [...files]
await Promise.all(
  Array.from({ length: Math.min(2, availableParallelism()) }, async () => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      const result = await runFile(file)
      for (const key of Object.keys(totals)) totals[key] += result[key]
    }
  }),
)
if (files.length === 0) totals.failed++
if (totals.skipped) console.log(`${totals.skipped} skipped`)
console.log(`${totals.passed} passed, ${totals.failed} failed`)
process.exit(totals.failed ? 1 : 0)
