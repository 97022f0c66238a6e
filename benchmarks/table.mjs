// Figures, the best of each, and the tables made of them.

// The ratios to reach: ours over the peer's (of times and sizes, the inverse). `threads: 'best'` lets each side choose its number of threads.
const targets = [
  { ours: /relaxed/, work: /^matmul/, peer: 'register loop, relaxed', least: 0.88 },
  { ours: /simd/, work: /^matmul/, peer: 'register loop, simd', least: 0.88 },
  { ours: /relaxed/, work: /^matmul 1024/, threads: 1, peer: 'onnxruntime-web', least: 1.8 },
  { ours: /relaxed/, work: /^matmul 1024/, threads: 1, peer: 'jax-js', least: 1.7 },
  { ours: /relaxed/, work: /^matmul 1024/, threads: 1, peer: 'tfjs-wasm', least: 1.5 },
  { ours: /simd/, work: /^matmul 1024/, threads: 1, peer: 'onnxruntime-web', least: 1.35 },
  { ours: /simd/, work: /^matmul 1024/, threads: 1, peer: 'jax-js', least: 1.2 },
  { ours: /simd/, work: /^matmul 1024/, threads: 1, peer: 'tfjs-wasm', least: 1.1 },
  { ours: /./, work: /^matmul/, threads: 2, peer: 'itself, 1 thread', least: 1.85 },
  { ours: /relaxed/, work: /^minilm/, peer: 'onnxruntime-web', least: 1.7 },
  { ours: /simd/, work: /^minilm/, peer: 'onnxruntime-web', least: 1.2 },
  { ours: /relaxed/, work: /^decode/, threads: 'best', peer: 'node-llama-cpp', least: 1 },
  { ours: /relaxed/, work: /^prefill/, threads: 'best', peer: 'node-llama-cpp', least: 1.2 },
  { ours: /relaxed/, work: /^(decode|prefill)/, threads: 'best', peer: 'wllama', least: 5 },
  { ours: /relaxed/, work: /^training step/, peer: 'PyTorch', least: 0.45 },
  { ours: /./, work: /, 4M$/, peer: 'memory copy', least: 0.6 },
  { ours: /./, work: /^download/, peer: 'curl, sha256sum', least: 0.7 },
  { ours: /relaxed/, work: /^decode, bfloat16/, peer: 'itself, float32', least: 1.7 },
  { ours: /relaxed/, work: /^decode at 4,000/, peer: 'itself, at 100', least: 0.6 },
  { ours: /./, work: /^cold load/, peer: 'node-llama-cpp', least: 1 },
  { ours: /./, work: /^heap while loading/, peer: 'weights and 64 MiB', least: 1 },
  { ours: /./, work: /^big load, peak memory/, peer: 'weights', least: 0.87 }, // 1 / 1.15
  { ours: /./, work: /^cold start/, peer: 'budget', least: 1 },
]

const isOurs = ({ who }) => who.startsWith('rushlight')
const isLess = ({ unit }) => unit === 'ms' || unit === 'MB' // the less, the better
const better = (a, b) => (isLess(a) ? a.value < b.value : a.value > b.value)
const ratio = (ours, peer) => (isLess(ours) ? peer.value / ours.value : ours.value / peer.value)
const show = ({ value, unit }) => `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}`
const table = (...rows) =>
  rows.length > 1
    ? [rows[0], rows[0].map(() => '---'), ...rows.slice(1)].map((row) => `| ${row.join(' | ')} |`).join('\n')
    : ''

/** The best figure of each who, work, number of threads and runtime. */
export class Figures {
  all = []

  add(figure) {
    const same = this.all.findIndex((f) => ['who', 'work', 'threads', 'runtime'].every((key) => f[key] === figure[key]))
    if (same < 0) this.all.push(figure)
    else if (better(figure, this.all[same])) this.all[same] = figure
  }

  /** Every figure of ours beside each peer's of the same work, with the target where there is one. */
  ratios() {
    const rows = []
    const row = (ours, peer, threads) => {
      const target = targets.find(
        (t) =>
          t.ours.test(ours.who) &&
          t.work.test(ours.work) &&
          t.peer === peer.who &&
          (t.threads ? t.threads === threads : threads !== 'best'),
      )
      if (!target && (threads === 'best' || peer.work === 'limit')) return // nothing asked, and no peer of this build
      const value = ratio(ours, peer)
      const verdict = target ? `${target.least} ${value >= target.least ? '✓' : '✗'}` : ''
      rows.push([ours.work, threads, ours.who, show(ours), peer.who, show(peer), value.toFixed(2), verdict])
    }
    for (const ours of this.all.filter(isOurs)) {
      for (const peer of this.peersOf(ours)) row(ours, peer, ours.threads)
      const single = this.all.find((f) => f.who === ours.who && f.work === ours.work && f.threads === 1)
      if (ours.threads > 1 && single) row(ours, { ...single, who: 'itself, 1 thread' }, ours.threads)
      if (ours.work === 'cold start') row(ours, { who: 'budget', value: 60, unit: 'ms' }, ours.threads)
    }
    const best = this.bestThreads()
    for (const ours of best.all.filter(isOurs)) for (const peer of best.peersOf(ours)) row(ours, peer, 'best')
    return table(['work', 'threads', 'ours', '', 'peer', '', 'ratio', 'at least'], ...rows)
  }

  /** What the peers reached, limit and copy among them. */
  peers() {
    const rows = this.all.filter((f) => !isOurs(f)).map((f) => [f.who, f.work, f.threads, show(f)])
    return table(['peer', 'work', 'threads', 'best'], ...rows)
  }

  /** Ours alone, a column for each runtime. */
  byRuntime() {
    const runtimes = [...new Set(this.all.map((f) => f.runtime))]
    const kinds = new Map(this.all.map((f) => [`${f.work}|${f.threads}`, f]))
    const rows = [...kinds.values()].map(({ work, threads }) => {
      const at = (runtime) => this.all.find((f) => f.work === work && f.threads === threads && f.runtime === runtime)
      return [work, threads, ...runtimes.map((runtime) => (at(runtime) ? show(at(runtime)) : ''))]
    })
    return table(['work', 'threads', ...runtimes], ...rows)
  }

  /** Each side at the number of threads that suits it best. */
  bestThreads() {
    const best = new Figures()
    for (const figure of this.all) best.add({ ...figure, threads: 'best' })
    return best
  }

  /** The limit and the copy are peers of every work in their unit. */
  peersOf(ours) {
    return this.all.filter(
      (f) =>
        !isOurs(f) &&
        f.unit === ours.unit &&
        f.threads === ours.threads &&
        [ours.work, 'limit', 'copy'].includes(f.work),
    )
  }
}
