// onnxruntime-web (WebAssembly) and onnxruntime-node (native), whichever is asked for, on matrix products and MiniLM.
//   node benchmarks/peers/onnxruntime.mjs web|node matmul|minilm [--threads N] [--seconds 1]
import { readFile } from 'node:fs/promises'
import { best, gflops, MATMUL_SIZES, MINILM_SHAPES, models, numbers, options, report } from '../measure.mjs'
import { matmulModel } from './onnx.mjs'

const [kind, work] = process.argv.splice(2, 2)
const who = `onnxruntime-${kind}`
const { threads, seconds } = options()
const ort = await import(who)

ort.env.wasm.numThreads = threads // read once a process

const session = (model) =>
  ort.InferenceSession.create(model, { intraOpNumThreads: threads, graphOptimizationLevel: 'all' })
if (work === 'matmul') {
  for (const n of MATMUL_SIZES) {
    const product = await session(matmulModel(n))
    const inputs = {
      a: new ort.Tensor('float32', numbers(n * n), [n, n]),
      b: new ort.Tensor('float32', numbers(n * n, 2), [n, n]),
    }
    report({
      who,
      work: `matmul ${n}`,
      threads,
      value: gflops(n, await best(() => product.run(inputs), seconds)),
      unit: 'GFLOP/s',
    })
  }
} else {
  const model = await session(new Uint8Array(await readFile(models.minilmOnnx)))
  for (const shape of MINILM_SHAPES) {
    const size = shape[0] * shape[1]
    const integers = (fill) => new ort.Tensor('int64', BigInt64Array.from({ length: size }, fill), shape)
    const inputs = {
      input_ids: integers((_, i) => BigInt(1000 + ((i * 37) % 20000))),
      attention_mask: integers(() => 1n),
      token_type_ids: integers(() => 0n),
    }
    report({
      who,
      work: `minilm ${shape.join('x')}`,
      threads,
      value: await best(() => model.run(inputs), seconds),
      unit: 'ms',
    })
  }
}
process.exit(0)
