// PreTrainedModel: what every architecture's models have in common.
import * as init from '../nn/init.ts'
import { Conv1d, Embedding, LayerNorm, Linear, RMSNorm } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import { Parameter } from '../nn/parameter.ts'
import { type DType, isFloating } from '../tensor/dtype.ts'
import { no_grad } from '../tensor/autograd.ts'
import { tidy } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { cat } from '../ops/movement.ts'
import { randn } from '../ops/random.ts'
import { checkOptions, RushlightError } from '../util/errors.ts'
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
  readonly may_miss: readonly RegExp[]
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
  /** Weights of the base model that some checkpoints lack; they are newly initialized, with a warning. */
  static readonly may_miss: readonly RegExp[] = []

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

  /**
   * Whether keys and values of the first `past` tokens still hold in a sequence of `length`. Where they do not, generation computes
   * the whole sequence afresh.
   */
  keepsCache(_past: number, _length: number): boolean {
    return true
  }

  /** The model without head. */
  get base_model(): Module {
    const { base_model_prefix: prefix } = this.constructor as unknown as ModelClass
    return prefix === '' ? this : this.get_submodule(prefix)
  }

  /** The table of token embeddings. @throws RushlightError where there is none */
  get_input_embeddings(): Module {
    return this.found(INPUT_EMBEDDINGS)?.module ?? this.lacks('token embeddings')
  }

  /** Puts another table of token embeddings in its place; a tied head keeps its own. */
  set_input_embeddings(module: Module): void {
    const { owner, field } = this.found(INPUT_EMBEDDINGS) ?? this.lacks('token embeddings')
    ;(owner as unknown as Record<string, Module>)[field] = module
  }

  /** The layer that gives a logit a token, or null in a model without. */
  get_output_embeddings(): Module | null {
    return this.found(OUTPUT_EMBEDDINGS)?.module ?? null
  }

  /**
   * Gives the token embeddings, and the head's rows where it has any, another number of rows. New rows are drawn about the mean of
   * the old ones with a billionth of their covariance, so that new tokens change the others' probabilities little (Hewitt 2021).
   * @param new_num_tokens undefined leaves the number, but for `pad_to_multiple_of`
   * @param options `mean_resizing: false` draws new rows as those of a new model
   * @returns the embeddings
   * @throws RushlightError for quantized embeddings
   */
  resize_token_embeddings(
    new_num_tokens?: number | null,
    options: { pad_to_multiple_of?: number | null; mean_resizing?: boolean } = {},
  ): Module {
    checkOptions('resize_token_embeddings', options, ['pad_to_multiple_of', 'mean_resizing'])
    const { pad_to_multiple_of: multiple, mean_resizing = true } = options
    const table = this.get_input_embeddings()
    if (!(table instanceof Embedding))
      throw new RushlightError(
        `resize_token_embeddings: the embeddings are ${table.constructor.name}, expected Embedding. Hint: load with dtype: 'float32' or 'bfloat16'`,
      )
    const least = new_num_tokens ?? table.num_embeddings
    for (const [name, n] of Object.entries({ new_num_tokens: least, pad_to_multiple_of: multiple ?? 1 }))
      if (!(Number.isSafeInteger(n) && n > 0))
        throw new RushlightError(`resize_token_embeddings: ${name}: expected a whole number from 1 up, found ${n}`)
    const rows = Math.ceil(least / (multiple ?? 1)) * (multiple ?? 1)
    const head = this.get_output_embeddings()
    const old = table.weight
    if (rows !== old.shape[0]) {
      const std = mean_resizing ? null : ((this.config.initializer_range as number | undefined) ?? 0.02)
      const resized = (weight: Parameter) => no_grad(() => tidy(() => new Parameter(withRows(weight, rows, std))))
      const tied = head instanceof Linear && head.weight === old
      this.swap(old, resized(old))
      Object.assign(table, { num_embeddings: rows })
      if (head instanceof Linear) {
        if (!tied) this.swap(head.weight, resized(head.weight))
        if (head.bias) this.swap(head.bias, resized(head.bias))
        Object.assign(head, { out_features: rows })
      }
    }
    Object.assign(this.config, { vocab_size: rows })
    return table
  }

  /** Puts a parameter in another's places, wherever it is tied. */
  private swap(old: Parameter, by: Parameter): void {
    for (const module of this.modules())
      for (const [field, tensor] of module.ownTensors())
        if (tensor === old) (module as unknown as Record<string, Parameter>)[field] = by
    old.dispose()
  }

  private found(names: RegExp): { module: Module; owner: Module; field: string } | undefined {
    for (const owner of this.modules())
      for (const [field, module] of owner.named_children())
        if (names.test(field) && module.named_children().next().done) return { module, owner, field }
    return undefined
  }

  private lacks(what: string): never {
    throw new RushlightError(`${this.constructor.name} has no ${what}`)
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
      if (module instanceof Linear || module instanceof Conv1d || module instanceof Embedding) {
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

/** What checkpoints call their tables of token embeddings, and the layers that give logits. */
const INPUT_EMBEDDINGS = /^(embed_tokens|word_embeddings|wte|embed_in|embeddings)$/
const OUTPUT_EMBEDDINGS = /^(lm_head|embed_out|decoder|vocab_projector)$/

/** A matrix, or a vector, with its first rows and new ones behind them; a vector's new elements are the mean. */
function withRows(weight: Tensor, rows: number, std: number | null): Tensor {
  const [n, ...rest] = weight.shape
  if (rows <= n) return weight.narrow(0, 0, rows).clone()
  const known = weight.to('float32').view([n, -1]) // (n,D)
  const mean = known.mean(0, true)
  const noise = randn([rows - n, n]).mul(Math.sqrt(1e-9 / n)) // times the centered rows: 1e-9 of their covariance
  const fresh = std === null ? noise.matmul(known.sub(mean)).add(mean) : randn([rows - n, known.shape[1]]).mul(std)
  return cat([known, fresh], 0)
    .view([rows, ...rest])
    .to(weight.dtype)
}
