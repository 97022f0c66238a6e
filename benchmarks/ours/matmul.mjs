// Matrix products, f32.      node benchmarks/ours/matmul.mjs [--threads N] [--seconds 1] [--build relaxed|simd]
import { best, gflops, MATMUL_SIZES, numbers, report } from '../measure.mjs'
import { rushlight, seconds, threads, who } from './setup.mjs'

const { tensor, tidy } = rushlight
for (const n of MATMUL_SIZES) {
  const [a, b] = [1, 2].map((seed) => tensor(numbers(n * n, seed), { shape: [n, n] }))
  const product = () => tidy(() => void a.matmul(b))
  report({ who, work: `matmul ${n}`, threads, value: gflops(n, await best(product, seconds)), unit: 'GFLOP/s' })
  a.dispose()
  b.dispose()
}
