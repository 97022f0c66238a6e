// Shows that Python loads what save_pretrained writes: every golden model is saved by rushlight, in shards, and loaded by transformers,
// which may neither warn nor find another number. Not part of the suite, since it needs Python:
//   RUSHLIGHT_PYTHON=path/to/python node tests/models/with-python.mjs
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as esbuild from 'esbuild'
import { buildKernels, bundleOptions, writeKernelTable } from '../../build.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const golden = join(here, '../golden/models')
const python = process.env.RUSHLIGHT_PYTHON
if (!python) throw new Error('RUSHLIGHT_PYTHON must name a Python with torch and transformers')

const folder = mkdtempSync(join(tmpdir(), 'rushlight-with-python-'))
try {
  await Promise.all([buildKernels(), writeKernelTable()])
  const outfile = join(folder, 'rushlight.mjs')
  await esbuild.build({ ...bundleOptions, splitting: false, platform: 'node', entryPoints: ['src/index.ts'], outfile })
  const rushlight = await import(pathToFileURL(outfile))
  for (const name of readdirSync(golden)) {
    const { class: Class } = JSON.parse(readFileSync(join(golden, name, 'golden.json'), 'utf8'))
    const model = await rushlight[Class].from_pretrained(join(golden, name))
    await model.save_pretrained(join(folder, 'saved', name), { max_shard_size: '40KB' })
    model.dispose()
  }
  execFileSync(python, [join(here, 'with_python.py'), join(folder, 'saved'), golden], { stdio: 'inherit' })
} finally {
  rmSync(folder, { recursive: true, force: true })
}
