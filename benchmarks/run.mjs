// Measures rushlight and its peers side by side, round by round, and prints the ratios as a table.
//   node benchmarks/run.mjs [matmul|minilm|smollm2|train|bandwidth|cold …] [--rounds 3] [--seconds 1] [--runtime node-24|node|deno|bun] [--write]
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { findRuntimes } from '../tests/runtimes/runtimes.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const python = process.env.PYTHON ?? 'python3'

// A script of ours runs in both builds, unless it says otherwise; `threads` are the numbers of threads it is asked for.
const js = (script, { args = [], threads = [1, 2] } = {}) => ({ script, args, threads })
const ours = (script) => ['relaxed', 'simd'].map((build) => js(`ours/${script}`, { args: ['--build', build] }))

const works = {
  matmul: [
    ...ours('limit.mjs'),
    ...ours('matmul.mjs'),
    js('peers/onnxruntime.mjs', { args: ['web', 'matmul'] }),
    js('peers/tfjs.mjs', { threads: [1] }),
    js('peers/jax.mjs', { threads: [1] }),
    js('peers/onnxruntime.mjs', { args: ['node', 'matmul'] }),
  ],
  minilm: [
    ...ours('minilm.mjs'),
    js('peers/onnxruntime.mjs', { args: ['web', 'minilm'] }),
    js('peers/onnxruntime.mjs', { args: ['node', 'minilm'] }),
  ],
  smollm2: [...ours('smollm2.mjs'), js('peers/llama-cpp.mjs'), js('peers/wllama.mjs')],
  train: [...ours('train.mjs'), js('peers/torch_train.py')],
  bandwidth: [...ours('bandwidth.mjs'), js('ours/copy.mjs')],
  cold: [js('ours/cold.mjs', { threads: [1] })],
}

// What issue 3 asks for: our figure over the peer's (a time's inverse), where `ours` and `threads` match.
const targets = [
  { ours: /relaxed/, work: /^matmul/, peer: 'register loop, relaxed', least: 0.88 },
  { ours: /simd/, work: /^matmul/, peer: 'register loop, simd', least: 0.88 },
  { ours: /relaxed/, work: /^matmul 1024/, threads: 1, peer: 'onnxruntime-web', least: 1.8 },
  { ours: /relaxed/, work: /^matmul 1024/, threads: 1, peer: 'jax-js', least: 1.7 },
  { ours: /relaxed/, work: /^matmul 1024/, threads: 1, peer: 'tfjs-wasm', least: 1.5 },
  { ours: /simd/, work: /^matmul 1024/, threads: 1, peer: 'onnxruntime-web', least: 1.35 },
  { ours: /simd/, work: /^matmul 1024/, threads: 1, peer: 'jax-js', least: 1.2 },
  { ours: /simd/, work: /^matmul 1024/, threads: 1, peer: 'tfjs-wasm', least: 1.1 },
  { ours: /relaxed/, work: /^minilm/, peer: 'onnxruntime-web', least: 1.7 },
  { ours: /simd/, work: /^minilm/, peer: 'onnxruntime-web', least: 1.2 },
  { ours: /relaxed/, work: /^decode/, threads: 'best', peer: 'node-llama-cpp', least: 1 },
  { ours: /relaxed/, work: /^prefill/, threads: 'best', peer: 'node-llama-cpp', least: 1.2 },
  { ours: /relaxed/, work: /^(decode|prefill)/, threads: 'best', peer: 'wllama', least: 5 },
  { ours: /relaxed/, work: /^training step/, peer: 'PyTorch', least: 0.45 },
  { ours: /./, work: /, 4M$/, peer: 'memory copy', least: 0.6 },
]

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '1' },
    runtime: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
})
const { found } = findRuntimes(join(here, '../tests/runtimes'))
const runtime =
  found.find(({ name }) => name === (given.runtime ?? 'node-24')) ?? (given.runtime ? undefined : found[0])
if (!runtime)
  throw new Error(
    `no runtime ${given.runtime}: npm ci --prefix tests/runtimes. Here: ${found.map((r) => r.name).join(', ')}`,
  )
for (const name of positionals)
  if (!works[name]) throw new Error(`no work ${name}. There are: ${Object.keys(works).join(', ')}`)

/** Runs one script once; gives the figures it printed. */
function run({ script, args }, threads) {
  const path = join(here, script)
  const options = [...args, '--threads', String(threads), '--seconds', given.seconds]
  const [command, first] = script.endsWith('.py') ? [python, []] : [runtime.command, runtime.args]
  return new Promise((resolve, reject) => {
    execFile(
      command,
      [...first, path, ...options],
      { timeout: 600_000, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        if (error)
          return reject(
            new Error(`${script} ${options.join(' ')}: ${stderr.match(/^.*Error.*$/m)?.[0] ?? error.message}`),
          )
        const lines = stdout.split('\n').filter((line) => line.startsWith('{"who"'))
        resolve(lines.map((line) => JSON.parse(line)))
      },
    )
  })
}

const isTime = (unit) => unit === 'ms'
const better = (a, b) => (isTime(a.unit) ? a.value < b.value : a.value > b.value)
const ratio = (ours, peer) => (isTime(ours.unit) ? peer.value / ours.value : ours.value / peer.value)

/** The best of each (who, work, threads) over all rounds; later also of each (who, work) over the numbers of threads. */
const figures = new Map()
const keep = (figure) => {
  const key = [figure.who, figure.work, figure.threads].join('|')
  if (!figures.has(key) || better(figure, figures.get(key))) figures.set(key, figure)
}

const failed = new Set()
for (const name of positionals.length ? positionals : Object.keys(works)) {
  for (let round = 1; round <= Number(given.rounds); round++) {
    for (const entry of works[name]) {
      for (const threads of entry.threads) {
        if (failed.has(entry)) continue
        try {
          const lines = await run(entry, threads)
          lines.forEach(keep)
          for (const { who, work, threads, value, unit } of lines)
            console.error(`${round}  ${who}  ${work}  x${threads}  ${value} ${unit}`)
        } catch (error) {
          failed.add(entry) // the table is made without it
          console.error(`SKIP ${error.message}`)
        }
      }
    }
  }
}
for (const figure of [...figures.values()]) keep({ ...figure, threads: 'best' })

const all = [...figures.values()]
const show = ({ value, unit }) => `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}`

/** The figures of a peer that one of ours is held against: the limit and the copy stand for all works. */
function peersOf(figure) {
  const sameThreads = all.filter(
    (f) => f.threads === figure.threads && f.unit === figure.unit && !/^rushlight/.test(f.who),
  )
  return sameThreads.filter((f) => f.work === figure.work || f.work === 'limit' || f.work === 'copy')
}

function table() {
  const rows = []
  for (const figure of all.filter((f) => /^rushlight/.test(f.who))) {
    for (const peer of peersOf(figure)) {
      const match = (t) => t.ours.test(figure.who) && t.work.test(figure.work) && t.peer === peer.who
      const target = targets.find(
        (t) => match(t) && (t.threads === undefined ? figure.threads !== 'best' : t.threads === figure.threads),
      )
      if (figure.threads === 'best' && !target) continue
      if (peer.work === 'limit' && !target) continue // the other build's limit
      const value = ratio(figure, peer)
      const verdict = target ? `${target.least} ${value >= target.least ? '✓' : '✗'}` : ''
      rows.push([
        figure.work,
        figure.threads,
        figure.who,
        show(figure),
        peer.who,
        show(peer),
        value.toFixed(2),
        verdict,
      ])
    }
  }
  // Two threads over one: ours against itself.
  for (const figure of all.filter((f) => /^rushlight/.test(f.who) && f.threads === 2)) {
    const single = figures.get([figure.who, figure.work, 1].join('|'))
    if (!single) continue
    const value = ratio(figure, single)
    const least = /^matmul/.test(figure.work) ? `1.85 ${value >= 1.85 ? '✓' : '✗'}` : ''
    rows.push([figure.work, 2, figure.who, show(figure), 'itself, 1 thread', show(single), value.toFixed(2), least])
  }
  for (const figure of all.filter((f) => f.work === 'cold start' && f.threads === 1))
    rows.push([
      figure.work,
      1,
      figure.who,
      show(figure),
      'budget',
      '60 ms',
      (60 / figure.value).toFixed(2),
      `1 ${figure.value <= 60 ? '✓' : '✗'}`,
    ])
  const header = ['work', 'threads', 'ours', '', 'peer', '', 'ratio', 'at least']
  return [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

/** What the peers reached, limit and copy among them. */
function peersTable() {
  const peers = all.filter((f) => f.threads !== 'best' && !/^rushlight/.test(f.who))
  const rows = peers.map((f) => `| ${f.who} | ${f.work} | ${f.threads} | ${show(f)} |`)
  return ['| peer | work | threads | best |', '|---|---|---|---|', ...rows].join('\n')
}

const version = await new Promise((resolve) =>
  execFile(runtime.command, ['--version'], (_, out) => resolve(out.trim().split('\n')[0])),
)
const command = `node benchmarks/run.mjs ${process.argv
  .slice(2)
  .filter((a) => a !== '--write')
  .join(' ')}`.trim()
const text = `Measured by \`${command}\` on ${cpus()[0].model.trim()}, ${cpus().length} cores, ${runtime.name} (${version}): the best of ${given.rounds} rounds.

${table()}

Peers' own figures:

${peersTable()}
`
console.log(text)
if (given.write) await writeFile(join(here, 'RESULTS.md'), `# Results\n\n${text}`)
