// Dropouts that configs speak of: each changes what a model in train mode gives, and none what it gives in eval mode.
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as models from '../../src/models/index.ts'
import type { ModelClass, PreTrainedModel } from '../../src/models/model.ts'
import { manual_seed } from '../../src/ops/generator.ts'
import { no_grad } from '../../src/tensor/autograd.ts'
import { tidy } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'

type Output = { logits?: Tensor; last_hidden_state?: Tensor }
type Loader = ModelClass & {
  from_pretrained(path: string, options?: object): Promise<PreTrainedModel & ((inputs: object) => Output)>
}
const classes = models as unknown as Record<string, Loader>
const root = 'tests/golden/models'

/** Keys that Python's models do not read: of heads that are not there, or of paths that are not taken. */
const UNREAD: Record<string, string[]> = {
  Phi3ForCausalLM: ['embd_pdrop'],
  FalconForCausalLM: ['attention_dropout'], // but with ALiBi
}

for (const name of readdirSync(root)) {
  const path = `${root}/${name}`
  const golden = JSON.parse(readFileSync(`${path}/golden.json`, 'utf8'))
  const Model = classes[golden.class]
  const { defaults } = Model.config_class as unknown as { defaults: Record<string, unknown> }
  const keys = Object.keys(defaults).filter((key) => /(?<!classifier_)dropout$|pdrop$|dropout_prob$/.test(key))
  const unread = /alibi/.test(name) ? [] : (UNREAD[golden.class] ?? [])
  if (keys.length === 0 || !golden.grad_batch || !/ForCausalLM|LMHead/.test(golden.class)) continue

  test(`${name}: ${keys.join(', ')}`, async () => {
    const used = heapUsage().used
    const inputs = { input_ids: golden.batches.plain.input_ids }
    const none = Object.fromEntries(keys.map((key) => [key, 0]))
    const run = async (options: object, train: boolean): Promise<number[]> => {
      const model = await Model.from_pretrained(path, { ...none, ...options })
      manual_seed(5)
      const out = tidy(() =>
        no_grad(() => Array.from((model.train(train)(inputs).logits as Tensor).data as Float32Array)),
      )
      model.dispose()
      return out
    }
    const expected = await run({}, true)
    for (const key of keys) {
      assert.equal(await run({ [key]: 0.5 }, false), expected, `${key} in eval mode`)
      const same = JSON.stringify(await run({ [key]: 0.5 }, true)) === JSON.stringify(expected)
      assert.is(same, unread.includes(key), `${key} in train mode`)
    }
    assert.is(heapUsage().used, used)
  })
}

test.run()
