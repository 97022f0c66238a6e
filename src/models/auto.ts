// The Auto classes: a model, or a config, of the architecture that a repository's config names.
import { checkOptions, RushlightError, shown, unsupported } from '../util/errors.ts'
import { PreTrainedConfig, replaceKeys } from './config.ts'
import type { CausalInputs, DecoderClassifierInputs, DecoderInputs } from './decoder.ts'
import type { IntInput } from './inputs.ts'
import type { LoadingInfo } from './loading.ts'
import { type ConfigClass, type ModelClass, PreTrainedModel } from './model.ts'
import { type FromPretrainedOptions, fromPretrained } from './pretrained.ts'
import type { BaseModelOutput, CausalLMOutput, SequenceClassifierOutput } from './outputs.ts'
import { architecture, modelClass, registerConfig, registerModel, type Task } from './registry.ts'
import type { SaveTarget } from '../io/saving.ts'
import { type SaveOptions, saveConfig, saveModel } from './saving.ts'
import { openModel, SOURCE_OPTIONS, sourceOptions } from './source.ts'

/** Options that are keys of a config, not ways to find it. */
function keysOf(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([key]) => !SOURCE_OPTIONS.includes(key)))
}

/** A configuration by its model_type. */
export const AutoConfig = {
  /** Reads a repository's config.json, or the metadata of a GGUF file (the path, or `gguf_file`). Further options replace keys. */
  async from_pretrained(path: string, options: Readonly<Record<string, unknown>> = {}): Promise<PreTrainedConfig> {
    const { config } = await openModel(path, sourceOptions(options))
    return new (await architecture(config.model_type)).config(replaceKeys(config, keysOf(options)))
  },
  /** The class that belongs to a `model_type`, filled with what is given. */
  async for_model(model_type: string, given: Readonly<Record<string, unknown>> = {}): Promise<PreTrainedConfig> {
    return new (await architecture(model_type)).config(given)
  },
  /** Makes a config of one's own known under its model_type. @throws RushlightError when there is one already, unless `exist_ok` */
  register(model_type: string, config_class: ConfigClass, options: { exist_ok?: boolean } = {}): void {
    checkOptions('AutoConfig.register', options, ['exist_ok'])
    if (config_class.model_type !== model_type)
      throw new RushlightError(
        `AutoConfig.register: ${config_class.name}.model_type is ${shown(config_class.model_type)}, expected ${shown(model_type)}`,
      )
    registerConfig(model_type, config_class, options.exist_ok ?? false)
  },
}

/** Options of from_config. */
export interface FromConfigOptions {
  /** 'float32' (default), 'bfloat16' or 'float16'. */
  dtype?: string
  torch_dtype?: string
  attn_implementation?: string
}

/** What models of any architecture are called with. */
export interface ModelInputs extends DecoderInputs {
  token_type_ids?: IntInput | null
}

/** How a model of each task is called, whatever its architecture. */
export interface TaskModels {
  base: PreTrainedModel<PreTrainedConfig, [inputs: ModelInputs], BaseModelOutput>
  'causal-lm': PreTrainedModel<PreTrainedConfig, [inputs: ModelInputs & CausalInputs], CausalLMOutput>
  'masked-lm': PreTrainedModel<PreTrainedConfig, [inputs: ModelInputs & { labels?: IntInput | null }], CausalLMOutput>
  'sequence-classification': PreTrainedModel<
    PreTrainedConfig,
    [inputs: ModelInputs & DecoderClassifierInputs],
    SequenceClassifierOutput
  >
}

export class AutoClass<T extends Task> {
  constructor(
    private readonly task: T,
    private readonly name: string,
  ) {}

  /**
   * Loads a model from a repository or a directory in Hugging Face's layout, or a .gguf file, in eval mode.
   * @throws RushlightError naming every weight that does not fit; UnsupportedOptionError for an option or architecture that there is not
   */
  readonly from_pretrained: FromPretrained<TaskModels[T]> = (path: string, options?: FromPretrainedOptions) =>
    fromPretrained(path, (config) => modelClass(config.model_type, this.task), options) as Promise<never>

  /** A new model with initial weights. Allocates nothing until it is used. */
  async from_config(
    config: PreTrainedConfig | Readonly<Record<string, unknown>>,
    options: FromConfigOptions = {},
  ): Promise<TaskModels[T]> {
    const where = `${this.name}.from_config`
    checkOptions(where, options, ['dtype', 'torch_dtype', 'attn_implementation'])
    const given = config instanceof PreTrainedConfig ? config.to_dict() : config
    const { attn_implementation, dtype = options.torch_dtype } = options
    if (attn_implementation !== undefined && !['sdpa', 'eager'].includes(attn_implementation))
      throw unsupported(where, 'attn_implementation', attn_implementation, ['sdpa', 'eager'])
    const Model = await modelClass(given.model_type, this.task)
    const model = new Model({ ...given, ...(attn_implementation && { attn_implementation }) }) as TaskModels[T]
    if (dtype !== undefined && dtype !== 'auto') model.to(dtype)
    return model
  }

  /** Makes a model of one's own known for its config's model_type. @throws RushlightError when there is one already, unless `exist_ok` */
  register(config_class: ConfigClass, model_class: ModelClass, options: { exist_ok?: boolean } = {}): void {
    checkOptions(`${this.name}.register`, options, ['exist_ok'])
    registerModel(config_class, this.task, model_class, options.exist_ok ?? false)
  }
}

/** from_pretrained, with what it resolves to. */
export interface FromPretrained<M> {
  (path: string, options: FromPretrainedOptions & { output_loading_info: true }): Promise<[M, LoadingInfo]>
  (path: string, options?: FromPretrainedOptions): Promise<M>
}

export const AutoModel = new AutoClass('base', 'AutoModel')
export const AutoModelForCausalLM = new AutoClass('causal-lm', 'AutoModelForCausalLM')
export const AutoModelForMaskedLM = new AutoClass('masked-lm', 'AutoModelForMaskedLM')
export const AutoModelForSequenceClassification = new AutoClass(
  'sequence-classification',
  'AutoModelForSequenceClassification',
)

declare module './model.ts' {
  namespace PreTrainedModel {
    /** Loads a model of this class. See AutoModel.from_pretrained. */
    function from_pretrained<M extends PreTrainedModel>(
      this: abstract new (
        config: never,
      ) => M,
      path: string,
      options: FromPretrainedOptions & { output_loading_info: true },
    ): Promise<[M, LoadingInfo]>
    function from_pretrained<M extends PreTrainedModel>(
      this: abstract new (
        config: never,
      ) => M,
      path: string,
      options?: FromPretrainedOptions,
    ): Promise<M>
  }
  interface PreTrainedModel {
    /**
     * Writes config.json, generation_config.json and the weights as safetensors, cut by `max_shard_size`, into a directory, which is
     * made where it is missing. Python's from_pretrained reads it.
     * @throws FileError when it cannot be written, RushlightError for quantized weights
     */
    save_pretrained(directory: SaveTarget, options?: SaveOptions): Promise<void>
  }
}
declare module './config.ts' {
  namespace PreTrainedConfig {
    /** Reads a repository's config.json as this class. */
    function from_pretrained<C extends PreTrainedConfig>(
      this: new (
        given: Readonly<Record<string, unknown>>,
      ) => C,
      path: string,
      options?: Readonly<Record<string, unknown>>,
    ): Promise<C>
  }
  interface PreTrainedConfig {
    /** Writes config.json into a directory, in the spelling that it was read in. */
    save_pretrained(directory: SaveTarget): Promise<void>
  }
}

Object.assign(PreTrainedModel, {
  from_pretrained(this: ModelClass, path: string, options?: FromPretrainedOptions) {
    return fromPretrained(path, async () => this, options)
  },
})
PreTrainedModel.prototype.save_pretrained = function (this: PreTrainedModel, directory, options) {
  return saveModel(this, directory, options)
}
Object.assign(PreTrainedConfig, {
  async from_pretrained(this: ConfigClass, path: string, options: Readonly<Record<string, unknown>> = {}) {
    const { config } = await openModel(path, sourceOptions(options))
    return new this(replaceKeys(config, keysOf(options)))
  },
})
PreTrainedConfig.prototype.save_pretrained = function (this: PreTrainedConfig, directory) {
  return saveConfig(this, directory)
}
