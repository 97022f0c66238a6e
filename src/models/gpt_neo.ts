// GPT-Neo (Black et al. 2021): GPT-2 with separate, unscaled queries and keys, and windows in every other layer.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Embedding, LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError, shown, unsupported } from '../util/errors.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { attend, type Context, positionIds, splitHeads } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { DecoderForCausalLM, DecoderForSequenceClassification, DecoderModel } from './decoder.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 50257,
  max_position_embeddings: 2048,
  hidden_size: 2048,
  num_layers: 24,
  /** [[types of layers, how often they come] …] */
  attention_types: [[['global', 'local'], 12]] as [types: string[], times: number][],
  num_heads: 16,
  intermediate_size: null as number | null,
  window_size: 256,
  activation_function: 'gelu_new',
  resid_dropout: 0,
  embed_dropout: 0,
  attention_dropout: 0,
  layer_norm_epsilon: 1e-5,
  initializer_range: 0.02,
  bos_token_id: 50256,
  eos_token_id: 50256 as number | number[],
  tie_word_embeddings: true,
}

export interface GPTNeoConfig extends Readonly<Omit<typeof defaults, `${string}_token_id`>> {
  /** 'global' or 'local' of each layer, from attention_types. */
  readonly attention_layers: readonly string[]
}
/** Configuration of GPT-Neo. */
export class GPTNeoConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'gpt_neo'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
  static override readonly attribute_map = { num_attention_heads: 'num_heads', num_hidden_layers: 'num_layers' }

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    const { hidden_size: H, num_heads, num_layers } = this
    if (this.attention_types === null) this.derive({ attention_types: defaults.attention_types })
    if (!Array.isArray(this.attention_types))
      throw new RushlightError(`config: attention_types: expected a list, found ${shown(this.attention_types)}`)
    const layers = this.attention_types.flatMap(([types, times]) => Array.from({ length: times }, () => types).flat())
    const other = layers.find((type) => type !== 'global' && type !== 'local')
    if (other !== undefined) throw unsupported('config', 'attention_types', other, ['global', 'local'])
    if (layers.length !== num_layers)
      throw new RushlightError(`config: attention_types are of ${layers.length} layers, num_layers is ${num_layers}`)
    if (H % num_heads !== 0)
      throw new RushlightError(`config: hidden_size ${H} is not a multiple of num_heads ${num_heads}`)
    this.derive({ attention_layers: layers })
  }
}

/** Masks that older files store with the weights. */
const BUFFERS = [/\.attention\.(bias|masked_bias)$/]

class GPTNeoSelfAttention extends Module<[x: Tensor, context: Context], Tensor> {
  k_proj: Linear
  v_proj: Linear
  q_proj: Linear
  out_proj: Linear

  constructor(
    private readonly config: GPTNeoConfig,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H } = config
    this.k_proj = new Linear(H, H, false)
    this.v_proj = new Linear(H, H, false)
    this.q_proj = new Linear(H, H, false)
    this.out_proj = new Linear(H, H)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { hidden_size: H, num_heads, attention_layers, window_size, attention_dropout, resid_dropout } = this.config
    const { layer } = this
    const [q, k, v] = [this.q_proj(x), this.k_proj(x), this.v_proj(x)].map((y) => splitHeads(y, H / num_heads))
    const out = attend(q, k, v, context, {
      layer,
      scale: 1,
      window: attention_layers[layer] === 'local' ? window_size : null,
      dropout_p: this.training ? attention_dropout : 0,
    })
    return F.dropout(this.out_proj(out), resid_dropout, this.training) // (B,T,H)
  }
}

class GPTNeoAttention extends Module<[x: Tensor, context: Context], Tensor> {
  attention: GPTNeoSelfAttention

  constructor(config: GPTNeoConfig, layer: number) {
    super()
    this.attention = new GPTNeoSelfAttention(config, layer)
  }

  forward(x: Tensor, context: Context): Tensor {
    return this.attention(x, context)
  }
}

class GPTNeoMLP extends Module<[x: Tensor], Tensor> {
  c_fc: Linear
  c_proj: Linear
  private readonly act: Activation

  constructor(private readonly config: GPTNeoConfig) {
    super()
    const { hidden_size: H, intermediate_size, activation_function } = config
    this.c_fc = new Linear(H, intermediate_size ?? 4 * H)
    this.c_proj = new Linear(intermediate_size ?? 4 * H, H)
    this.act = ACT2FN(activation_function)
  }

  forward(x: Tensor): Tensor {
    return F.dropout(this.c_proj(this.act(this.c_fc(x))), this.config.resid_dropout, this.training) // (B,T,H)
  }
}

class GPTNeoBlock extends Module<[x: Tensor, context: Context], Tensor> {
  ln_1: LayerNorm
  attn: GPTNeoAttention
  ln_2: LayerNorm
  mlp: GPTNeoMLP

  constructor(config: GPTNeoConfig, layer: number) {
    super()
    const { hidden_size: H, layer_norm_epsilon: eps } = config
    this.ln_1 = new LayerNorm(H, { eps })
    this.attn = new GPTNeoAttention(config, layer)
    this.ln_2 = new LayerNorm(H, { eps })
    this.mlp = new GPTNeoMLP(config)
  }

  forward(x: Tensor, context: Context): Tensor {
    const h = x.add(this.attn(this.ln_1(x), context))
    return h.add(this.mlp(this.ln_2(h))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class GPTNeoModel extends DecoderModel<GPTNeoConfig> {
  static override readonly config_class: ConfigClass = GPTNeoConfig
  static override readonly ignore_unexpected: readonly RegExp[] = BUFFERS

  wte: Embedding
  wpe: Embedding
  h: ModuleList<GPTNeoBlock>
  ln_f: LayerNorm

  constructor(given: GPTNeoConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    const { hidden_size: H } = config
    this.wte = new Embedding(config.vocab_size, H)
    this.wpe = new Embedding(config.max_position_embeddings, H)
    this.h = new ModuleList(Array.from({ length: config.num_layers }, (_, i) => new GPTNeoBlock(config, i)))
    this.ln_f = new LayerNorm(H, { eps: config.layer_norm_epsilon })
    this.initialize()
  }

  protected embed(ids: Tensor): Tensor {
    return this.wte(ids)
  }

  protected override start(x: Tensor, context: Context): Tensor {
    return F.dropout(x.add(this.wpe(positionIds(context))), this.config.embed_dropout, this.training) // (B,T,H)
  }

  protected blocks(): Iterable<GPTNeoBlock> {
    return this.h
  }

  protected finish(x: Tensor): Tensor {
    return this.ln_f(x)
  }
}

/** GPT-Neo with a language modeling head. */
export class GPTNeoForCausalLM extends DecoderForCausalLM<GPTNeoConfig> {
  static override readonly config_class: ConfigClass = GPTNeoConfig
  static override readonly base_model_prefix: string = 'transformer'
  static override readonly ignore_unexpected: readonly RegExp[] = BUFFERS

  transformer: GPTNeoModel
  lm_head: Linear

  constructor(given: GPTNeoConfig | Record<string, unknown>) {
    super(given)
    this.transformer = new GPTNeoModel(this.config)
    this.lm_head = new Linear(this.config.hidden_size, this.config.vocab_size, false)
    if (this.config.tie_word_embeddings) this.lm_head.tie(this.transformer.wte.weight)
    this.initialize()
  }

  protected head(x: Tensor): Tensor {
    return this.lm_head(x)
  }
}

/** GPT-Neo with a linear classifier on the last token that is not padding. */
export class GPTNeoForSequenceClassification extends DecoderForSequenceClassification<GPTNeoConfig> {
  static override readonly config_class: ConfigClass = GPTNeoConfig
  static override readonly base_model_prefix: string = 'transformer'
  static override readonly ignore_unexpected: readonly RegExp[] = BUFFERS

  transformer: GPTNeoModel
  score: Linear

  constructor(given: GPTNeoConfig | Record<string, unknown>) {
    super(given)
    this.transformer = new GPTNeoModel(this.config)
    this.score = new Linear(this.config.hidden_size, this.config.num_labels, false)
    this.initialize()
  }
}
