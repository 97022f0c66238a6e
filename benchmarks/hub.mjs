// The Hub that downloads are measured from: the server of the tests, in a process of its own, with one file of 200 MB.
//   node benchmarks/hub.mjs      prints its address and runs until its input ends
import { spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleOptions } from '../build.mjs'

export const BYTES = 200e6
export const REPOSITORY = 'benchmarks/download'
export const FILE = 'model.safetensors'
const here = fileURLToPath(import.meta.url)

/** Starts it; gives its address, and what ends it. */
export function startHub() {
  const child = spawn(process.execPath, [here], { stdio: ['pipe', 'pipe', 'inherit'] })
  return new Promise((resolve, reject) => {
    child.on('exit', (code) => reject(new Error(`the server ended with ${code}`)))
    child.stdout.once('data', (line) => resolve({ url: String(line).trim(), close: () => child.stdin.end() }))
  })
}

async function serve() {
  const esbuild = await import('esbuild')
  const root = dirname(dirname(here))
  const outfile = join(root, 'build/benchmarks/server.mjs')
  await mkdir(dirname(outfile), { recursive: true })
  await esbuild.build({
    ...bundleOptions,
    splitting: false,
    platform: 'node',
    entryPoints: ['tests/hub/server.ts'],
    outfile,
  })
  const { startHub: start } = await import(outfile)
  const content = new Uint8Array(BYTES)
  for (let i = 0; i < BYTES; i += 8) content[i] = (Math.imul(i, 2654435761) >>> 24) & 255
  const hub = await start({ repositories: { [REPOSITORY]: { files: { [FILE]: { content, lfs: true } } } } })
  console.log(hub.url)
  process.stdin.on('end', () => process.exit()).resume()
}

if (process.argv[1] === here) await serve()
