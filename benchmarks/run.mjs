// Measures rushlight and its peers side by side, round by round, and prints the ratios as a table.
//   node benchmarks/run.mjs [matmul|minilm|smollm2|train|bandwidth|download|cold|runtimes …] [--rounds 3] [--seconds 1]
//                           [--runtime node-24|node|deno|bun] [--write]
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { findRuntimes } from '../tests/runtimes/runtimes.mjs'
import { Figures } from './table.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const { found } = findRuntimes(join(here, '../tests/runtimes'))
const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '1' },
    runtime: { type: 'string', default: found.some(({ name }) => name === 'node-24') ? 'node-24' : 'node' },
    write: { type: 'boolean', default: false },
  },
})
const chosen = found.find(({ name }) => name === given.runtime)
if (!chosen)
  throw new Error(
    `--runtime ${given.runtime}: there are ${found.map(({ name }) => name).join(', ')}. Hint: npm ci --prefix tests/runtimes`,
  )

// `threads` are the numbers of threads that a script is asked for, one process each.
const script = (path, { args = [], threads = [1, 2], runtime = chosen } = {}) => ({ path, args, threads, runtime })
const bothBuilds = (path) => ['relaxed', 'simd'].map((build) => script(path, { args: ['--build', build] }))

const works = {
  matmul: [
    ...bothBuilds('ours/limit.mjs'),
    ...bothBuilds('ours/matmul.mjs'),
    script('peers/onnxruntime.mjs', { args: ['web', 'matmul'] }),
    script('peers/tfjs.mjs', { threads: [1] }),
    script('peers/jax.mjs', { threads: [1] }),
    script('peers/onnxruntime.mjs', { args: ['node', 'matmul'] }),
  ],
  minilm: [
    ...bothBuilds('ours/minilm.mjs'),
    script('peers/onnxruntime.mjs', { args: ['web', 'minilm'] }),
    script('peers/onnxruntime.mjs', { args: ['node', 'minilm'] }),
  ],
  smollm2: [...bothBuilds('ours/smollm2.mjs'), script('peers/llama-cpp.mjs'), script('peers/wllama.mjs')],
  decode: [
    ...bothBuilds('ours/decode-bf16.mjs'),
    ...bothBuilds('ours/long-context.mjs'),
    script('ours/prompt-lookup.mjs'),
  ],
  load: [
    script('ours/cold-load.mjs'),
    script('peers/llama-cpp-cold.mjs'),
    script('ours/load-heap.mjs', { threads: [1] }),
    script('ours/big-load.mjs', { threads: [2] }),
  ],
  train: [...bothBuilds('ours/train.mjs'), script('peers/torch_train.py')],
  bandwidth: [...bothBuilds('ours/bandwidth.mjs'), script('ours/copy.mjs')],
  download: ['ours/download.mjs', 'peers/curl.mjs'].map((path) => script(path, { threads: [1] })),
  cold: [script('ours/cold.mjs', { threads: [1] })],
  runtimes: found.flatMap((runtime) => [
    script('ours/cold.mjs', { threads: [1], runtime }),
    ...['matmul', 'smollm2', 'train'].map((name) => script(`ours/${name}.mjs`, { runtime })),
  ]),
}
for (const name of positionals)
  if (!works[name]) throw new Error(`no work ${name}. There are: ${Object.keys(works).join(', ')}`)

/** Runs one script once; gives the figures that it printed. */
function run({ path, args, runtime }, threads) {
  const options = [...args, '--threads', String(threads), '--seconds', given.seconds]
  const python = { command: process.env.PYTHON ?? 'python3', args: [] }
  const { command, args: before } = path.endsWith('.py') ? python : runtime
  return new Promise((resolve, reject) => {
    const limits = { timeout: 600_000, maxBuffer: 1 << 26 }
    execFile(command, [...before, join(here, path), ...options], limits, (error, stdout, stderr) => {
      const why = stderr.match(/^.*Error.*$/m)?.[0] ?? error?.message
      if (error) return reject(new Error(`${path} ${options.join(' ')}: ${why}`))
      const lines = stdout.split('\n').filter((line) => line.startsWith('{"who"'))
      resolve(lines.map((line) => ({ ...JSON.parse(line), runtime: runtime.name })))
    })
  })
}

/** Lets the scripts of a work take turns for the given number of rounds. One that fails is left out from then on. */
async function measure(scripts) {
  const figures = new Figures()
  const failed = new Set()
  for (let round = 1; round <= Number(given.rounds); round++)
    for (const entry of scripts)
      for (const threads of entry.threads) {
        if (failed.has(entry)) continue
        try {
          for (const figure of await run(entry, threads)) {
            figures.add(figure)
            const { who, work, value, unit, runtime } = figure
            console.error(`${round}  ${who}  ${work}  ${threads} threads  ${value} ${unit}  ${runtime}`)
          }
        } catch (error) {
          failed.add(entry)
          console.error(`SKIP ${error.message}`)
        }
      }
  return figures
}

const versionOf = ({ command }) =>
  new Promise((resolve) => execFile(command, ['--version'], (_, out) => resolve(out.trim().split('\n')[0])))
const command = ['node benchmarks/run.mjs', ...process.argv.slice(2).filter((a) => a !== '--write')].join(' ')
const parts = [
  `Measured by \`${command}\` on ${cpus()[0].model.trim()}, ${cpus().length} cores, with ${chosen.name} (${await versionOf(chosen)}), ` +
    `the best of ${given.rounds} rounds.`,
]
for (const name of positionals.length ? positionals : Object.keys(works)) {
  const figures = await measure(works[name])
  parts.push(`## ${name}`, ...(name === 'runtimes' ? [figures.byRuntime()] : [figures.ratios(), figures.peers()]))
}
const text = `${parts.filter(Boolean).join('\n\n')}\n`
console.log(text)
if (given.write) await writeFile(join(here, 'RESULTS.md'), `# Results\n\n${text}`)
