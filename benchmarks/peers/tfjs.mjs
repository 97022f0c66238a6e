// tfjs-backend-wasm on matrix products: one thread, for in Node its threaded binary does not start.
//   node benchmarks/peers/tfjs.mjs [--seconds 1]
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { best, gflops, MATMUL_SIZES, numbers, options, report } from '../measure.mjs'

const require = createRequire(import.meta.url) // its ES modules import without extensions, which Node refuses
const tf = require('@tensorflow/tfjs-core')
const { setWasmPaths } = require('@tensorflow/tfjs-backend-wasm')
const { seconds } = options()

setWasmPaths(`${dirname(require.resolve('@tensorflow/tfjs-backend-wasm'))}/`)
await tf.setBackend('wasm')
if (!(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')))
  throw new Error('tfjs-wasm runs without SIMD here: not a fair peer')
for (const n of MATMUL_SIZES) {
  const [a, b] = [1, 2].map((seed) => tf.tensor2d(numbers(n * n, seed), [n, n]))
  const ms = await best(() => {
    const product = tf.matMul(a, b)
    product.dataSync()
    product.dispose()
  }, seconds)
  report({ who: 'tfjs-wasm', work: `matmul ${n}`, threads: 1, value: gflops(n, ms), unit: 'GFLOP/s' })
}
