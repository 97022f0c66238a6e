// generate() against transformers': every option that has one right result, beams and scores included. See tests/golden/README.md.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/generation/generate.ts'
import type { GenerateOutput } from '../../src/generation/output.ts'
import { AutoModelForCausalLM } from '../../src/models/index.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { AutoTokenizer } from '../../src/tokenizers/index.ts'
import { heapUsage } from '../../src/wasm/index.ts'

interface Case {
  name: string
  input_ids: number[][]
  attention_mask?: number[][]
  options: Record<string, unknown>
  sequences: number[][]
  sequences_scores?: number[]
  beam_indices?: number[][]
  /** Of each step and row: the best token, its score, the sum of all that are finite. */
  scores?: [id: number, best: number, sum: number][][]
  transition_scores?: number[][]
}
const golden = JSON.parse(readFileSync('tests/golden/generation/generate.json', 'utf8')) as {
  models: { model: string; cases: Case[] }[]
  stops: { stop_strings: string[]; input_ids: number[][]; sequences: number[][] }[]
}

const near = (actual: number, expected: number, scale: number, what: string) =>
  assert.ok(Math.abs(actual - expected) <= 2e-4 * Math.max(1, scale), `${what}: ${actual}, expected ${expected}`)

for (const { model: name, cases } of golden.models)
  for (const expected of cases)
    test(`${name}: ${expected.name}`, async () => {
      const before = heapUsage().used
      const model = await AutoModelForCausalLM.from_pretrained(`tests/golden/models/${name}`, { dtype: 'float32' })
      model.generation_config = {}
      const { input_ids, attention_mask, options } = expected
      const found = (await model.generate({
        input_ids,
        ...(attention_mask && { attention_mask }),
        ...options,
        return_dict_in_generate: true,
      })) as GenerateOutput
      assert.equal(found.sequences.tolist(), expected.sequences)
      if (expected.beam_indices) assert.equal(found.beam_indices?.tolist(), expected.beam_indices)
      if (expected.sequences_scores && options.output_scores)
        (found.sequences_scores?.tolist() as number[]).forEach((score, i) =>
          near(score, (expected.sequences_scores as number[])[i], 1, `score of sequence ${i}`),
        )
      expected.scores?.forEach((rows, step) => {
        const scores = found.scores?.[step].tolist() as number[][]
        rows.forEach(([id, best, sum], r) => {
          const finite = scores[r].filter(Number.isFinite)
          near(scores[r][id], best, Math.abs(best), `step ${step}, row ${r}: the best`)
          near(Math.max(...scores[r]), best, Math.abs(best), `step ${step}, row ${r}: the largest`)
          near(
            finite.reduce((a, b) => a + b, 0),
            sum,
            finite.reduce((a, b) => a + Math.abs(b), 0),
            `step ${step}, row ${r}: the sum`,
          )
        })
      })
      if (expected.transition_scores) {
        const scores = model.compute_transition_scores(
          found.sequences,
          found.scores as Tensor[],
          found.beam_indices,
          true,
        )
        ;(scores.tolist() as number[][]).forEach((row, r) =>
          row.forEach((score, t) =>
            near(score, (expected.transition_scores as number[][])[r][t], 5, `transition ${r}, ${t}`),
          ),
        )
        scores.dispose()
      }
      for (const tensor of [
        found.sequences,
        found.sequences_scores,
        found.beam_indices,
        ...(found.scores ?? []),
        ...(found.logits ?? []),
      ])
        tensor?.dispose()
      found.past_key_values?.dispose()
      model.dispose()
      assert.is(heapUsage().used, before)
    })

test('stop_strings end where they do in Python', async () => {
  const path = 'examples/train-shakespeare/model'
  const model = await AutoModelForCausalLM.from_pretrained(path, { dtype: 'float32' })
  const tokenizer = await AutoTokenizer.from_pretrained(path)
  for (const { stop_strings, input_ids, sequences } of golden.stops) {
    const found = await model.generate({ input_ids, max_new_tokens: 40, do_sample: false, stop_strings, tokenizer })
    assert.equal(found.tolist(), sequences, JSON.stringify(stop_strings))
    found.dispose()
  }
  model.dispose()
})

test.run()
