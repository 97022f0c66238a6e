// Logits processors against transformers'.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GenerationConfig } from '../../src/generation/config.ts'
import { processorsOf, softmax } from '../../src/generation/logits-process.ts'
import { SampleStream } from '../../src/util/random.ts'

interface Golden {
  input_ids: number[][]
  logits: (number | null)[][]
  cases: { options: Record<string, number>; order: string[]; scores: (number | null)[][] }[]
}
const golden = JSON.parse(readFileSync('tests/golden/generation/processors.json', 'utf8')) as Golden
const row = (values: (number | null)[]) => Float32Array.from(values, (x) => x ?? Number.NEGATIVE_INFINITY)

for (const { options, scores } of golden.cases)
  test(`processors ${JSON.stringify(options)}`, () => {
    const config = new GenerationConfig({ do_sample: true, top_k: 0, ...options })
    golden.logits.forEach((logits, r) => {
      const actual = row(logits)
      for (const process of processorsOf(config, { prompts: golden.input_ids, prompt: 6, limit: 100, eos: [] }))
        process(actual, golden.input_ids[r], { padding: 0, index: r })
      const expected = row(scores[r])
      // Of equal scores, which one goes first is an accident of torch's sort: ties are compared as a set.
      const tied = logits.some((x, i) => logits.indexOf(x) !== i)
      if (tied) for (const list of [actual, expected]) list.sort()
      for (let i = 0; i < expected.length; i++) {
        const close =
          actual[i] === expected[i] || Math.abs(actual[i] - expected[i]) < 1e-5 * Math.max(1, Math.abs(expected[i]))
        assert.ok(close, `row ${r}, token ${i}: ${actual[i]}, expected ${expected[i]}`)
      }
    })
  })

test('sampling follows the probabilities, and a seed gives the same stream', () => {
  const probabilities = softmax(Float32Array.from([0, 1, 2, Number.NEGATIVE_INFINITY]))
  const counts = [0, 0, 0, 0]
  const random = new SampleStream(7)
  const n = 200_000
  for (let i = 0; i < n; i++) counts[random.pick(probabilities)]++
  assert.is(counts[3], 0)
  // Five standard deviations.
  for (let i = 0; i < 3; i++)
    assert.ok(
      Math.abs(counts[i] / n - probabilities[i]) < 5 * Math.sqrt((probabilities[i] * (1 - probabilities[i])) / n),
    )
  const [a, b] = [new SampleStream(3), new SampleStream(3)]
  for (let i = 0; i < 10; i++) assert.is(a.next(), b.next())
  assert.is.not(new SampleStream(4).next(), new SampleStream(3).next())
})

test('an option that is not there throws and names what there is', () => {
  assert.throws(
    () => new GenerationConfig({ num_beam_groups: 4 }),
    /unsupported option num_beam_groups.*Supported: .*temperature/,
  )
  assert.throws(() => new GenerationConfig({ tempratur: 1 }), /unsupported option tempratur/)
  assert.throws(
    () => new GenerationConfig({ do_sample: true, temperature: 0 }),
    /temperature: expected a number above 0/,
  )
  assert.throws(() => new GenerationConfig({ top_p: 2 }), /top_p/)
  assert.is(new GenerationConfig({ num_beams: 1 }).top_k, 50)
})

test.run()
