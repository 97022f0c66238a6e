// Node, Deno and Bun do the same: the demo's core in each, against PyTorch's figures.
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findRuntimes, runIn } from './runtimes.mjs'

interface Golden {
  train: { losses: number[] }
  generate: { name: string; sequences: number[][] }[]
}

interface Outcome {
  generated: number[][][]
  losses: number[]
  total: number
  expected: number
}

const golden: Golden = JSON.parse(readFileSync('tests/golden/models/llama-mha/golden.json', 'utf8'))
const { found, missing } = findRuntimes('tests/runtimes')
if (missing.length > 0)
  console.log(`SKIP ${missing.join(', ')}: not installed. Hint: npm install --prefix tests/runtimes`)

const outcomes = new Map<string, Outcome>()

const built = existsSync('dist/index.js')
if (!built) console.log('SKIP all runtimes: dist/ is not built. Hint: npm run build')
const check = built ? test : test.skip

for (const runtime of found)
  check(`${runtime.name} loads, generates and trains as PyTorch does, and ends`, async () => {
    const { ok, why, stdout, stderr } = await runIn(runtime, 'tests/runtimes/core.mjs')
    assert.ok(ok, `${why}\n${stdout}${stderr}`)
    const outcome: Outcome = JSON.parse(stdout)
    outcomes.set(runtime.name, outcome)
    golden.generate.forEach(({ name, sequences }, i) => {
      assert.equal(outcome.generated[i], sequences, name)
    })
    golden.train.losses.forEach((expected, step) => {
      assert.ok(
        Math.abs(outcome.losses[step] - expected) < 1e-4 * expected,
        `loss ${step}: ${outcome.losses[step]}, expected ${expected}`,
      )
    })
    assert.is(outcome.total, outcome.expected, 'sum of a product on two threads')
  })

check('all runtimes give the same losses', () => {
  const [first, ...others] = outcomes.values()
  for (const other of others)
    other.losses.forEach((loss, step) => {
      assert.ok(
        Math.abs(loss - first.losses[step]) < 1e-5 * first.losses[step],
        `step ${step}: ${loss} and ${first.losses[step]}`,
      )
    })
})

test.run()
