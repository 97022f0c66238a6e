// BLOOM (Le Scao et al. 2022): ALiBi in place of positions, a layer norm behind the embeddings, queries, keys and values from one matrix.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Embedding, LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { alibiSlopes, attend, type Context, splitHeads } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { DecoderForCausalLM, DecoderForSequenceClassification, DecoderModel } from './decoder.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 250880,
  hidden_size: 64,
  n_layer: 2,
  n_head: 8,
  layer_norm_epsilon: 1e-5,
  initializer_range: 0.02,
  bos_token_id: 1,
  eos_token_id: 2 as number | number[],
  apply_residual_connection_post_layernorm: false,
  hidden_dropout: 0,
  attention_dropout: 0,
  tie_word_embeddings: true,
}

export interface BloomConfig extends Readonly<Omit<typeof defaults, `${string}_token_id`>> {}
/** Configuration of BLOOM. */
export class BloomConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'bloom'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
  static override readonly attribute_map = { num_hidden_layers: 'n_layer', num_attention_heads: 'n_head' }

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    if (typeof this.n_embed === 'number') this.derive({ hidden_size: this.n_embed }) // as older files say it
    if (this.hidden_size % this.n_head !== 0)
      throw new RushlightError(`config: hidden_size ${this.hidden_size} is not a multiple of n_head ${this.n_head}`)
  }
}

class BloomAttention extends Module<[x: Tensor, context: Context], Tensor> {
  query_key_value: Linear
  dense: Linear

  constructor(
    private readonly config: BloomConfig,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H } = config
    this.query_key_value = new Linear(H, 3 * H)
    this.dense = new Linear(H, H)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { hidden_size: H, n_head, attention_dropout } = this.config
    const [q, k, v] = splitHeads(this.query_key_value(x), (3 * H) / n_head).chunk(3, -1) // (B,heads,T,D) each
    const out = attend(q, k, v, context, {
      layer: this.layer,
      alibi_slopes: Tensor.from(alibiSlopes(n_head), [n_head], 'float32'),
      dropout_p: this.training ? attention_dropout : 0,
    })
    return this.dense(out) // (B,T,H)
  }
}

class BloomMLP extends Module<[x: Tensor], Tensor> {
  dense_h_to_4h: Linear
  dense_4h_to_h: Linear

  constructor({ hidden_size: H }: BloomConfig) {
    super()
    this.dense_h_to_4h = new Linear(H, 4 * H)
    this.dense_4h_to_h = new Linear(4 * H, H)
  }

  forward(x: Tensor): Tensor {
    return this.dense_4h_to_h(F.gelu(this.dense_h_to_4h(x), 'tanh')) // (B,T,H)
  }
}

class BloomBlock extends Module<[x: Tensor, context: Context], Tensor> {
  input_layernorm: LayerNorm
  self_attention: BloomAttention
  post_attention_layernorm: LayerNorm
  mlp: BloomMLP

  constructor(
    private readonly config: BloomConfig,
    layer: number,
  ) {
    super()
    const { hidden_size: H, layer_norm_epsilon: eps } = config
    this.input_layernorm = new LayerNorm(H, { eps })
    this.self_attention = new BloomAttention(config, layer)
    this.post_attention_layernorm = new LayerNorm(H, { eps })
    this.mlp = new BloomMLP(config)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { apply_residual_connection_post_layernorm: behind, hidden_dropout } = this.config
    const drop = (y: Tensor) => F.dropout(y, hidden_dropout, this.training)
    const normed = this.input_layernorm(x)
    const h = (behind ? normed : x).add(drop(this.self_attention(normed, context)))
    const again = this.post_attention_layernorm(h)
    return (behind ? again : h).add(drop(this.mlp(again))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class BloomModel extends DecoderModel<BloomConfig> {
  static override readonly config_class: ConfigClass = BloomConfig

  word_embeddings: Embedding
  word_embeddings_layernorm: LayerNorm
  h: ModuleList<BloomBlock>
  ln_f: LayerNorm

  constructor(given: BloomConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    const { hidden_size: H, layer_norm_epsilon: eps } = config
    this.word_embeddings = new Embedding(config.vocab_size, H)
    this.word_embeddings_layernorm = new LayerNorm(H, { eps })
    this.h = new ModuleList(Array.from({ length: config.n_layer }, (_, i) => new BloomBlock(config, i)))
    this.ln_f = new LayerNorm(H, { eps })
    this.initialize()
  }

  protected embed(ids: Tensor): Tensor {
    return this.word_embeddings(ids)
  }

  protected override start(x: Tensor): Tensor {
    return this.word_embeddings_layernorm(x)
  }

  protected blocks(): Iterable<BloomBlock> {
    return this.h
  }

  protected finish(x: Tensor): Tensor {
    return this.ln_f(x)
  }
}

/** BLOOM with a language modeling head. */
export class BloomForCausalLM extends DecoderForCausalLM<BloomConfig> {
  static override readonly config_class: ConfigClass = BloomConfig
  static override readonly base_model_prefix: string = 'transformer'

  transformer: BloomModel
  lm_head: Linear

  constructor(given: BloomConfig | Record<string, unknown>) {
    super(given)
    this.transformer = new BloomModel(this.config)
    this.lm_head = new Linear(this.config.hidden_size, this.config.vocab_size, false)
    if (this.config.tie_word_embeddings) this.lm_head.tie(this.transformer.word_embeddings.weight)
    this.initialize()
  }

  protected head(x: Tensor): Tensor {
    return this.lm_head(x)
  }
}

/** BLOOM with a linear classifier on the last token that is not padding. */
export class BloomForSequenceClassification extends DecoderForSequenceClassification<BloomConfig> {
  static override readonly config_class: ConfigClass = BloomConfig
  static override readonly base_model_prefix: string = 'transformer'

  transformer: BloomModel
  score: Linear

  constructor(given: BloomConfig | Record<string, unknown>) {
    super(given)
    this.transformer = new BloomModel(this.config)
    this.score = new Linear(this.config.hidden_size, this.config.num_labels, false)
    this.initialize()
  }
}
