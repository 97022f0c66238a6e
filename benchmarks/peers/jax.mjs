// jax-js, WebAssembly backend, on matrix products: it uses one thread.
//   node benchmarks/peers/jax.mjs [--seconds 1]
import { defaultDevice, init, numpy as np } from '@jax-js/jax'
import { best, gflops, MATMUL_SIZES, numbers, options, report } from '../measure.mjs'

const { seconds } = options()
await init('wasm')
defaultDevice('wasm')
for (const n of MATMUL_SIZES) {
  const [a, b] = [1, 2].map((seed) => np.array(numbers(n * n, seed)).reshape([n, n]))
  const ms = await best(async () => {
    const product = np.matmul(a.ref, b.ref) // an operation consumes its operands: .ref keeps them
    await product.blockUntilReady()
    product.dispose()
  }, seconds)
  report({ who: 'jax-js', work: `matmul ${n}`, threads: 1, value: gflops(n, ms), unit: 'GFLOP/s' })
}
