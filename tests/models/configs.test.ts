// Every architecture's configuration against Python's: the same defaults, no key passed over, and as many parameters in its models.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isObject, type PreTrainedConfig, ropeLayerTypes, ropeParameters } from '../../src/models/config.ts'
import { architecture, type Task } from '../../src/models/registry.ts'
import '../../src/ops/index.ts'
import { UnsupportedOptionError } from '../../src/util/errors.ts'

type Keys = Record<string, unknown>
interface Expected {
  defaults: Keys
  parameters: Record<Task, number>
}
const golden = JSON.parse(readFileSync('tests/golden/configs.json', 'utf8')) as Record<string, Expected>

/** Keys of Python's configs that change nothing here, or that are read elsewhere. */
const ELSEWHERE = new Set([
  ...['_name_or_path', 'label2id', 'use_cache', 'return_dict', 'output_hidden_states', 'output_attentions'], // of the call, or the id2label
  ...['rope_parameters', '_sliding_window_pattern'], // rotary settings have a test of their own; the pattern became layer_types
  ...['is_encoder_decoder', 'add_cross_attention'], // of encoder-decoders
  ...['chunk_size_feed_forward', 'pretraining_tp', 'slow_but_exact', 'reorder_and_upcast_attn', 'use_mambapy'], // another way to the same
  ...['use_associative_scan', 'residual_in_fp32'],
  ...['sinusoidal_pos_embds', 'time_step_min', 'time_step_max', 'time_step_init_scheme', 'time_step_floor'], // of a new model's weights
  'rescale_prenorm_residual',
  ...['summary_type', 'summary_use_proj', 'summary_activation', 'summary_proj_to_labels', 'summary_first_dropout'], // of heads that are not here
  ...['qa_dropout', 'classifier_dropout'],
])
/** Those that Python's own model never reads. */
const UNUSED: Record<string, string[]> = { phi3: ['embd_pdrop'] }

/** Whether a default is Python's. What is null here may be filled in there; what is null there may be false here. */
function same(key: string, ours: unknown, theirs: unknown): boolean {
  if (ours === null && ['num_key_value_heads', 'head_dim', 'full_attn_idxs'].includes(key)) return true
  const [a, b] = [ours, theirs].map((value) => JSON.stringify(value === false ? null : value))
  return a === b
}

function ropeOf(config: PreTrainedConfig): unknown {
  const types = ropeLayerTypes(config)
  const of = (type?: string) => ({ partial_rotary_factor: 1, ...ropeParameters(config, type) })
  return types.length > 0 ? Object.fromEntries(types.map((type) => [type, of(type)])) : of()
}

for (const [model_type, { defaults: theirs, parameters }] of Object.entries(golden)) {
  const found = await architecture(model_type).catch((error) => {
    if (error instanceof UnsupportedOptionError) return null
    throw error
  })
  if (!found) {
    console.log(`SKIP ${model_type}: there is no such architecture yet`)
    continue
  }
  const { config: Config, models } = found
  const config = new Config()

  test(`${model_type}: the defaults are Python's`, () => {
    // Settings for older files alone have no counterpart.
    const { defaults } = Config as unknown as { defaults: Keys }
    const differing = Object.keys(defaults).filter((k) => k in theirs && !same(k, config[k], theirs[k]))
    assert.equal(Object.fromEntries(differing.map((k) => [k, config[k]])), {})
    const passedOver = Object.keys(theirs).filter((k) => !(k in config) && !ELSEWHERE.has(k))
    assert.equal(passedOver, UNUSED[model_type] ?? [])
  })

  if (isObject(theirs.rope_parameters))
    test(`${model_type}: the rotary settings are Python's`, () => {
      assert.equal(ropeOf(config), ropeOf(new Config({ rope_parameters: theirs.rope_parameters })))
    })

  for (const [task, Model] of Object.entries(models))
    test(`${model_type}: as many parameters as in Python, ${task}`, () => {
      const model = new Model(config)
      assert.is(model.num_parameters(), parameters[task as Task])
      model.dispose()
    })
}

test.run()
