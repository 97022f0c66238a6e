// Every architecture: its config's model_type, and the file that has its models, loaded when it is first asked for.
import { RushlightError, unsupported } from '../util/errors.ts'
import type { ConfigClass, ModelClass } from './model.ts'

/** What an Auto class stands for. */
export type Task = 'base' | 'causal-lm' | 'masked-lm' | 'sequence-classification'

/** An architecture's config and its model for each task it has. */
export interface Architecture {
  config: ConfigClass
  models: Partial<Record<Task, ModelClass>>
}

/** Of a repository with images, the language model alone. */
const gemma3Text = async (): Promise<Architecture> => {
  const m = await import('./gemma3.ts')
  return decoder(m.Gemma3TextConfig, m.Gemma3TextModel, m.Gemma3ForCausalLM, m.Gemma3TextForSequenceClassification)
}

const ARCHITECTURES: Record<string, () => Promise<Architecture>> = {
  bert: async () => {
    const m = await import('./bert.ts')
    return {
      config: m.BertConfig,
      models: {
        base: m.BertModel,
        'causal-lm': m.BertLMHeadModel,
        'masked-lm': m.BertForMaskedLM,
        'sequence-classification': m.BertForSequenceClassification,
      },
    }
  },
  bloom: async () => {
    const m = await import('./bloom.ts')
    return decoder(m.BloomConfig, m.BloomModel, m.BloomForCausalLM, m.BloomForSequenceClassification)
  },
  distilbert: async () => {
    const m = await import('./distilbert.ts')
    return {
      config: m.DistilBertConfig,
      models: {
        base: m.DistilBertModel,
        'masked-lm': m.DistilBertForMaskedLM,
        'sequence-classification': m.DistilBertForSequenceClassification,
      },
    }
  },
  falcon: async () => {
    const m = await import('./falcon.ts')
    return decoder(m.FalconConfig, m.FalconModel, m.FalconForCausalLM, m.FalconForSequenceClassification)
  },
  gemma: async () => {
    const m = await import('./gemma.ts')
    return decoder(m.GemmaConfig, m.GemmaModel, m.GemmaForCausalLM, m.GemmaForSequenceClassification)
  },
  gemma2: async () => {
    const m = await import('./gemma2.ts')
    return decoder(m.Gemma2Config, m.Gemma2Model, m.Gemma2ForCausalLM, m.Gemma2ForSequenceClassification)
  },
  gemma3: gemma3Text,
  gemma3_text: gemma3Text,
  gpt2: async () => {
    const m = await import('./gpt2.ts')
    return decoder(m.GPT2Config, m.GPT2Model, m.GPT2LMHeadModel, m.GPT2ForSequenceClassification)
  },
  gpt_neo: async () => {
    const m = await import('./gpt_neo.ts')
    return decoder(m.GPTNeoConfig, m.GPTNeoModel, m.GPTNeoForCausalLM, m.GPTNeoForSequenceClassification)
  },
  gpt_neox: async () => {
    const m = await import('./gpt_neox.ts')
    return decoder(m.GPTNeoXConfig, m.GPTNeoXModel, m.GPTNeoXForCausalLM, m.GPTNeoXForSequenceClassification)
  },
  granite: async () => {
    const m = await import('./granite.ts')
    return decoder(m.GraniteConfig, m.GraniteModel, m.GraniteForCausalLM)
  },
  lfm2: async () => {
    const m = await import('./lfm2.ts')
    return decoder(m.Lfm2Config, m.Lfm2Model, m.Lfm2ForCausalLM)
  },
  llama: async () => {
    const m = await import('./llama.ts')
    return decoder(m.LlamaConfig, m.LlamaModel, m.LlamaForCausalLM, m.LlamaForSequenceClassification)
  },
  mamba: async () => {
    const m = await import('./mamba.ts')
    return decoder(m.MambaConfig, m.MambaModel, m.MambaForCausalLM)
  },
  mistral: async () => {
    const m = await import('./mistral.ts')
    return decoder(m.MistralConfig, m.MistralModel, m.MistralForCausalLM, m.MistralForSequenceClassification)
  },
  olmo2: async () => {
    const m = await import('./olmo2.ts')
    return decoder(m.Olmo2Config, m.Olmo2Model, m.Olmo2ForCausalLM, m.Olmo2ForSequenceClassification)
  },
  olmoe: async () => {
    const m = await import('./olmoe.ts')
    return decoder(m.OlmoeConfig, m.OlmoeModel, m.OlmoeForCausalLM)
  },
  opt: async () => {
    const m = await import('./opt.ts')
    return decoder(m.OPTConfig, m.OPTModel, m.OPTForCausalLM, m.OPTForSequenceClassification)
  },
  phi: async () => {
    const m = await import('./phi.ts')
    return decoder(m.PhiConfig, m.PhiModel, m.PhiForCausalLM, m.PhiForSequenceClassification)
  },
  phi3: async () => {
    const m = await import('./phi3.ts')
    return decoder(m.Phi3Config, m.Phi3Model, m.Phi3ForCausalLM, m.Phi3ForSequenceClassification)
  },
  qwen2: async () => {
    const m = await import('./qwen2.ts')
    return decoder(m.Qwen2Config, m.Qwen2Model, m.Qwen2ForCausalLM, m.Qwen2ForSequenceClassification)
  },
  qwen2_moe: async () => {
    const m = await import('./qwen2_moe.ts')
    return decoder(m.Qwen2MoeConfig, m.Qwen2MoeModel, m.Qwen2MoeForCausalLM, m.Qwen2MoeForSequenceClassification)
  },
  qwen3: async () => {
    const m = await import('./qwen3.ts')
    return decoder(m.Qwen3Config, m.Qwen3Model, m.Qwen3ForCausalLM, m.Qwen3ForSequenceClassification)
  },
  smollm3: async () => {
    const m = await import('./smollm3.ts')
    return decoder(m.SmolLM3Config, m.SmolLM3Model, m.SmolLM3ForCausalLM, m.SmolLM3ForSequenceClassification)
  },
  stablelm: async () => {
    const m = await import('./stablelm.ts')
    return decoder(m.StableLmConfig, m.StableLmModel, m.StableLmForCausalLM, m.StableLmForSequenceClassification)
  },
  starcoder2: async () => {
    const m = await import('./starcoder2.ts')
    return decoder(
      m.Starcoder2Config,
      m.Starcoder2Model,
      m.Starcoder2ForCausalLM,
      m.Starcoder2ForSequenceClassification,
    )
  },
}

/** A decoder-only language model; not every one has a classifier. */
function decoder(config: ConfigClass, base: ModelClass, causal: ModelClass, classifier?: ModelClass): Architecture {
  return {
    config,
    models: { base, 'causal-lm': causal, ...(classifier && { 'sequence-classification': classifier }) },
  }
}

/** The architecture of a config's model_type. @throws UnsupportedOptionError listing those there are */
export async function architecture(model_type: unknown): Promise<Architecture> {
  if (model_type === undefined)
    throw new RushlightError(
      `config.json: model_type is missing. Hint: it names the architecture; supported: ${Object.keys(ARCHITECTURES).join(', ')}`,
    )
  if (typeof model_type !== 'string' || !Object.hasOwn(ARCHITECTURES, model_type))
    throw unsupported('config.json', 'model_type', model_type, Object.keys(ARCHITECTURES))
  return ARCHITECTURES[model_type]()
}

/** Adds an architecture under its model_type, or replaces one. */
export function registerArchitecture(model_type: string, load: () => Promise<Architecture>): void {
  ARCHITECTURES[model_type] = load
}

/** Adds a config without models. @throws RushlightError when its model_type is there already, unless `exist_ok` */
export function registerConfig(model_type: string, config: ConfigClass, exist_ok: boolean): void {
  if (Object.hasOwn(ARCHITECTURES, model_type) && !exist_ok)
    throw new RushlightError(
      `AutoConfig.register: ${model_type} is there already. Hint: { exist_ok: true } replaces it`,
    )
  const before = ARCHITECTURES[model_type]
  registerArchitecture(model_type, async () => ({ config, models: (await before?.())?.models ?? {} }))
}

/** Adds a model to the architecture of its config. @throws RushlightError when the config is unknown, or there is one already, unless `exist_ok` */
export function registerModel(config: ConfigClass, task: Task, model: ModelClass, exist_ok: boolean): void {
  const { model_type } = config
  const before = Object.hasOwn(ARCHITECTURES, model_type) ? ARCHITECTURES[model_type] : undefined
  if (!before)
    throw new RushlightError(
      `register: ${config.name} is unknown. Hint: AutoConfig.register('${model_type}', ${config.name}) first`,
    )
  registerArchitecture(model_type, async () => {
    const { models, ...rest } = await before()
    if (models[task] && models[task] !== model && !exist_ok)
      throw new RushlightError(
        `register: ${model_type} has ${models[task].name} for ${task} already. Hint: { exist_ok: true } replaces it`,
      )
    return { ...rest, models: { ...models, [task]: model } }
  })
}

/** The model of an architecture for a task. @throws UnsupportedOptionError when it has none */
export async function modelClass(model_type: unknown, task: Task): Promise<ModelClass> {
  const { models } = await architecture(model_type)
  const found = models[task]
  if (!found) throw unsupported(`${model_type}`, 'task', task, Object.keys(models))
  return found
}
