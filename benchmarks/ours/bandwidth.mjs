// Work that memory bounds, on 4M elements, against a copy of as many bytes.
//   node benchmarks/ours/bandwidth.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { best, numbers, report } from '../measure.mjs'
import { rushlight, seconds, threads, who } from './setup.mjs'

const { nn, tensor, tidy } = rushlight
const F = nn.functional
const ROWS = 4096
const WIDTH = 1024
const BYTES = ROWS * WIDTH * 4

const [x, y] = [1, 2].map((seed) => tensor(numbers(ROWS * WIDTH, seed), { shape: [ROWS, WIDTH] }))
const [weight, bias] = [3, 4].map((seed) => tensor(numbers(WIDTH, seed)))

// Each with the number of arrays of 16 MiB that it has to read and write.
const works = {
  add: [3, () => x.add(y)],
  relu: [2, () => x.relu()],
  silu: [2, () => F.silu(x)],
  gelu: [2, () => F.gelu(x)],
  exp: [2, () => x.exp()],
  'sum of rows': [1, () => x.sum(1)],
  softmax: [2, () => x.softmax(-1)],
  'layer norm': [2, () => F.layer_norm(x, [WIDTH], weight, bias)],
  'RMS norm': [2, () => F.rms_norm(x, [WIDTH], weight)],
}
for (const [work, [arrays, run]] of Object.entries(works)) {
  const ms = await best(() => tidy(() => void run()), seconds / 4)
  report({ who, work: `${work}, 4M`, threads, value: (arrays * BYTES) / ms / 1e6, unit: 'GB/s' })
}
