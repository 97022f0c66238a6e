// From before the import to the first result, in a process that has done nothing else.      node benchmarks/ours/cold.mjs
import { report } from '../measure.mjs'

const start = performance.now()
const { tensor } = await import('../../dist/index.js')
tensor([
  [1, 2],
  [3, 4],
])
  .matmul(
    tensor([
      [1, 0],
      [0, 1],
    ]),
  )
  .tolist()
report({ who: 'rushlight', work: 'cold start', threads: 1, value: performance.now() - start, unit: 'ms' })
