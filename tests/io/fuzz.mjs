// Fuzzes the file formats with as many cases as asked for.
//   node tests/io/fuzz.mjs [cases = 1000000] [seed = 1]
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as esbuild from 'esbuild'
import { bundleOptions } from '../../build.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const out = join(root, 'build/fuzz')
process.chdir(root)
await mkdir(out, { recursive: true })
await esbuild.build({
  ...bundleOptions,
  platform: 'node',
  entryPoints: ['tests/io/fuzz.ts'],
  outdir: out,
  outExtension: { '.js': '.mjs' },
})
const { fuzz } = await import(pathToFileURL(join(out, 'fuzz.mjs')))

const cases = Number(process.argv[2] ?? 1_000_000)
const seed = Number(process.argv[3] ?? 1)
const step = 50_000
const totals = { read: 0, refused: 0 }
for (let done = 0; done < cases; done += step) {
  const { read, refused } = await fuzz(Math.min(step, cases - done), seed + done)
  totals.read += read
  totals.refused += refused
  console.log(
    `${totals.read + totals.refused} cases: ${totals.read} read, ${totals.refused} refused, ${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB`,
  )
}
await rm(out, { recursive: true })
