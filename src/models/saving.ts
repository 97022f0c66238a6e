// save_pretrained: a model as a directory that Python's from_pretrained reads, and ours.
import {
  filesIn,
  type SaveTarget,
  type TensorToWrite,
  toWrite,
  writeShardedSafetensors,
  writeText,
} from '../io/index.ts'
import { QuantizedEmbedding, QuantizedLinear } from '../quant/layers.ts'
import { no_grad } from '../tensor/autograd.ts'
import { tidy } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { checkOptions, RushlightError, unsupported } from '../util/errors.ts'
import { pythonJson } from '../util/json.ts'
import type { PreTrainedConfig } from './config.ts'
import type { ModelClass, PreTrainedModel } from './model.ts'

/** Options of save_pretrained. */
export interface SaveOptions {
  /** Weights are cut into files of at most so many bytes: a number, or '5GB' (default '50GB', as Python's). */
  max_shard_size?: number | string
  /** Always true: nothing else is written. */
  safe_serialization?: boolean
}

/** Writes config.json. */
export async function saveConfig(config: PreTrainedConfig, target: SaveTarget): Promise<void> {
  await writeText(filesIn(target)('config.json'), config.to_json_string())
}

/** Writes config.json, generation_config.json where the model has one, and the weights under their checkpoint's names. */
export async function saveModel(model: PreTrainedModel, target: SaveTarget, options: SaveOptions = {}): Promise<void> {
  checkOptions('save_pretrained', options, ['max_shard_size', 'safe_serialization'])
  if (options.safe_serialization === false) throw unsupported('save_pretrained', 'safe_serialization', false, [true])
  const tensors = weightsOf(model)
  const create = filesIn(target)
  const { config } = model
  Object.assign(config, { architectures: [model.constructor.name], dtype: model.dtype })
  await writeText(create('config.json'), config.to_json_string())
  const { generation_config } = model
  if (generation_config && (model.constructor as unknown as ModelClass).supports_cache)
    await writeText(create('generation_config.json'), pythonJson(withoutNulls(generation_config)))
  await writeShardedSafetensors(create, tensors, { max_shard_size: options.max_shard_size })
}

/** The weights as they are written: tied ones once, under the first of their names, matrices the way round that checkpoints have. */
function weightsOf(model: PreTrainedModel): TensorToWrite[] {
  for (const [name, module] of model.named_modules())
    if (module instanceof QuantizedLinear || module instanceof QuantizedEmbedding)
      throw new RushlightError(
        `save_pretrained: ${name} is quantized (${module.weight.format}), which safetensors has no type for. Hint: load with dtype: 'float32' or 'bfloat16'`,
      )
  const { transposed } = model.constructor as unknown as ModelClass
  const seen = new Set<Tensor>()
  const out: TensorToWrite[] = []
  for (const [name, tensor] of model.state_dict()) {
    if (seen.has(tensor)) continue
    seen.add(tensor)
    const entry = toWrite(name, tensor)
    if (!transposed.some((pattern) => pattern.test(name))) out.push(entry)
    else
      out.push({
        ...entry,
        shape: [...entry.shape].reverse(),
        data: () => no_grad(() => tidy(() => toWrite(name, tensor.t().contiguous()).data().slice())), // before it is freed
      })
  }
  return out
}

function withoutNulls(values: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== undefined))
}
