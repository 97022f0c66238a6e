// PreTrainedModel: what every architecture's models have in common.
import * as init from '../nn/init.ts'
import { Embedding, LayerNorm, Linear, RMSNorm } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import { Parameter } from '../nn/parameter.ts'
import { type DType, isFloating } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import type { PreTrainedConfig } from './config.ts'

/** A configuration's class. */
export type ConfigClass<C extends PreTrainedConfig = PreTrainedConfig> = {
  new (given?: Readonly<Record<string, unknown>>): C
  readonly model_type: string
}

/** What the loader and the Auto classes know of a model's class. */
export interface ModelClass<M extends PreTrainedModel = PreTrainedModel> {
  // biome-ignore lint/suspicious/noExplicitAny: each architecture's constructor takes its own config
  new (config: any): M
  readonly name: string
  readonly config_class: ConfigClass
  readonly base_model_prefix: string
  readonly rename: readonly Rename[]
  readonly ignore_unexpected: readonly RegExp[]
  readonly transposed: readonly RegExp[]
  readonly supports_cache: boolean
}

/** A legacy spelling in checkpoints, `from` as they have it. */
export interface Rename {
  from: RegExp
  to: string
}

/**
 * Base of all models (transformers.PreTrainedModel): a module with a configuration, made by `from_pretrained` or from a config.
 * The constructor allocates nothing: parameters get memory when they are loaded or first used.
 */
export abstract class PreTrainedModel<
  C extends PreTrainedConfig = PreTrainedConfig,
  A extends unknown[] = never[],
  R = unknown,
> extends Module<A, R> {
  /** The architecture's configuration. */
  static readonly config_class: ConfigClass
  /** Field of the model without head; '' in that model itself. Checkpoints with and without the prefix load into both. */
  static readonly base_model_prefix: string = ''
  /** Legacy names of weights. */
  static readonly rename: readonly Rename[] = []
  /** Weights in checkpoints that this class does without. */
  static readonly ignore_unexpected: readonly RegExp[] = []

  /** Weights that checkpoints hold the other way round, [in, out], by their name in the model. */
  static readonly transposed: readonly RegExp[] = []
  /** Whether forward takes past_key_values and logits_to_keep, which generate() saves work with. */
  static readonly supports_cache: boolean = false

  readonly config: C

  constructor(given: C | Record<string, unknown>) {
    super()
    const { config_class } = new.target as unknown as { config_class: ConfigClass<C> }
    this.config = given instanceof config_class ? given : new config_class(given)
  }

  /** dtype of the first floating parameter. */
  get dtype(): DType {
    for (const { dtype } of this.parameters()) if (isFloating(dtype)) return dtype
    return 'float32'
  }

  /** Always 'cpu': computing happens in WebAssembly. */
  get device(): string {
    return 'cpu'
  }

  /** Number of elements of all parameters; `only_trainable` leaves out the frozen ones. */
  num_parameters({ only_trainable = false }: { only_trainable?: boolean } = {}): number {
    let n = 0
    for (const parameter of this.parameters()) if (!only_trainable || parameter.requires_grad) n += parameter.numel()
    return n
  }

  /** The model without head. */
  get base_model(): Module {
    const { base_model_prefix: prefix } = this.constructor as unknown as ModelClass
    return prefix === '' ? this : this.get_submodule(prefix)
  }

  /** The table of token embeddings. */
  get_input_embeddings(): Module {
    for (const [path, module] of this.named_modules())
      if (/(^|\.)(embed_tokens|word_embeddings|wte|embed_in)$/.test(path)) return module
    throw new RushlightError(`${this.constructor.name} has no token embeddings`)
  }

  /** Initial values of a new model, as transformers gives them; called by the constructors of concrete classes. Nothing is allocated. */
  protected initialize(): void {
    const std = (this.config.initializer_range as number | undefined) ?? 0.02
    const tied = new Set<Parameter>()
    for (const module of this.modules()) {
      const set = (name: 'weight' | 'bias', fill: (t: Tensor) => void) => {
        const parameter = (module as unknown as Record<string, unknown>)[name]
        if (!(parameter instanceof Parameter) || parameter.materialized || tied.has(parameter)) return
        tied.add(parameter)
        parameter.initializeWith(fill)
      }
      if (module instanceof Linear || module instanceof Embedding) {
        const padding = module instanceof Embedding ? module.padding_idx : null
        set('weight', (t) => {
          init.normal_(t, 0, std)
          if (padding !== null) t.select(0, padding).fill_(0)
        })
        set('bias', (t) => void init.zeros_(t))
      } else if (module instanceof LayerNorm || module instanceof RMSNorm) {
        set('weight', (t) => void init.ones_(t))
        set('bias', (t) => void init.zeros_(t))
      }
    }
  }
}
