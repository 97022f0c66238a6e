// GPT-2 (Radford et al. 2019): learned positions, layer norms in front, biases everywhere. Checkpoints hold its matrices the other way round.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Embedding, LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { attend, type Context, positionIds, splitHeads } from './attention.ts'
import { PreTrainedConfig } from './config.ts'
import { DecoderForCausalLM, DecoderForSequenceClassification, DecoderModel } from './decoder.ts'
import type { ConfigClass } from './model.ts'

const defaults = {
  vocab_size: 50257,
  n_positions: 1024,
  n_embd: 768,
  n_layer: 12,
  n_head: 12,
  n_inner: null as number | null,
  activation_function: 'gelu_new',
  resid_pdrop: 0.1,
  embd_pdrop: 0.1,
  attn_pdrop: 0.1,
  layer_norm_epsilon: 1e-5,
  initializer_range: 0.02,
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  bos_token_id: 50256,
  eos_token_id: 50256 as number | number[],
  tie_word_embeddings: true,
}

export interface GPT2Config extends Readonly<Omit<typeof defaults, `${string}_token_id`>> {}
/** Configuration of GPT-2. */
export class GPT2Config extends PreTrainedConfig {
  static override readonly model_type: string = 'gpt2'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
  static override readonly attribute_map = {
    hidden_size: 'n_embd',
    max_position_embeddings: 'n_positions',
    num_attention_heads: 'n_head',
    num_hidden_layers: 'n_layer',
  }

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    if (this.n_embd % this.n_head !== 0)
      throw new RushlightError(`config: n_embd ${this.n_embd} is not a multiple of n_head ${this.n_head}`)
  }
}

/** Matrices that are stored [in, out], as TensorFlow has them. */
const TRANSPOSED = [/\.(c_attn|c_proj|c_fc)\.weight$/]
/** Masks that older files store with the weights. */
const BUFFERS = [/\.attn\.(bias|masked_bias)$/]

class GPT2Attention extends Module<[x: Tensor, context: Context], Tensor> {
  c_attn: Linear
  c_proj: Linear
  private readonly scale: number

  constructor(
    private readonly config: GPT2Config,
    private readonly layer: number,
  ) {
    super()
    const { n_embd: H, n_head, scale_attn_weights, scale_attn_by_inverse_layer_idx } = config
    this.c_attn = new Linear(H, 3 * H)
    this.c_proj = new Linear(H, H)
    this.scale =
      (scale_attn_weights ? 1 / Math.sqrt(H / n_head) : 1) / (scale_attn_by_inverse_layer_idx ? layer + 1 : 1)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { n_embd: H, n_head, attn_pdrop, resid_pdrop } = this.config
    const [q, k, v] = this.c_attn(x)
      .chunk(3, -1)
      .map((y) => splitHeads(y, H / n_head)) // (B,heads,T,D) each
    const { layer, scale } = this
    const out = this.c_proj(attend(q, k, v, context, { layer, scale, dropout_p: this.training ? attn_pdrop : 0 }))
    return F.dropout(out, resid_pdrop, this.training) // (B,T,H)
  }
}

class GPT2MLP extends Module<[x: Tensor], Tensor> {
  c_fc: Linear
  c_proj: Linear
  private readonly act: Activation

  constructor(private readonly config: GPT2Config) {
    super()
    const { n_embd: H, n_inner, activation_function } = config
    this.c_fc = new Linear(H, n_inner ?? 4 * H)
    this.c_proj = new Linear(n_inner ?? 4 * H, H)
    this.act = ACT2FN(activation_function)
  }

  forward(x: Tensor): Tensor {
    return F.dropout(this.c_proj(this.act(this.c_fc(x))), this.config.resid_pdrop, this.training) // (B,T,H)
  }
}

class GPT2Block extends Module<[x: Tensor, context: Context], Tensor> {
  ln_1: LayerNorm
  attn: GPT2Attention
  ln_2: LayerNorm
  mlp: GPT2MLP

  constructor(config: GPT2Config, layer: number) {
    super()
    const { n_embd: H, layer_norm_epsilon: eps } = config
    this.ln_1 = new LayerNorm(H, { eps })
    this.attn = new GPT2Attention(config, layer)
    this.ln_2 = new LayerNorm(H, { eps })
    this.mlp = new GPT2MLP(config)
  }

  forward(x: Tensor, context: Context): Tensor {
    const h = x.add(this.attn(this.ln_1(x), context))
    return h.add(this.mlp(this.ln_2(h))) // (B,T,H)
  }
}

/** The decoder without a head. */
export class GPT2Model extends DecoderModel<GPT2Config> {
  static override readonly config_class: ConfigClass = GPT2Config
  static override readonly transposed: readonly RegExp[] = TRANSPOSED
  static override readonly ignore_unexpected: readonly RegExp[] = BUFFERS

  wte: Embedding
  wpe: Embedding
  h: ModuleList<GPT2Block>
  ln_f: LayerNorm

  constructor(given: GPT2Config | Record<string, unknown>) {
    super(given)
    const { config } = this
    this.wte = new Embedding(config.vocab_size, config.n_embd)
    this.wpe = new Embedding(config.n_positions, config.n_embd)
    this.h = new ModuleList(Array.from({ length: config.n_layer }, (_, i) => new GPT2Block(config, i)))
    this.ln_f = new LayerNorm(config.n_embd, { eps: config.layer_norm_epsilon })
    this.initialize()
  }

  protected embed(ids: Tensor): Tensor {
    return this.wte(ids)
  }

  protected override start(x: Tensor, context: Context): Tensor {
    return F.dropout(x.add(this.wpe(positionIds(context))), this.config.embd_pdrop, this.training) // (B,T,H)
  }

  protected blocks(): Iterable<GPT2Block> {
    return this.h
  }

  protected finish(x: Tensor): Tensor {
    return this.ln_f(x)
  }
}

/** GPT-2 with a language modeling head. */
export class GPT2LMHeadModel extends DecoderForCausalLM<GPT2Config> {
  static override readonly config_class: ConfigClass = GPT2Config
  static override readonly base_model_prefix: string = 'transformer'
  static override readonly transposed: readonly RegExp[] = TRANSPOSED
  static override readonly ignore_unexpected: readonly RegExp[] = BUFFERS

  transformer: GPT2Model
  lm_head: Linear

  constructor(given: GPT2Config | Record<string, unknown>) {
    super(given)
    this.transformer = new GPT2Model(this.config)
    this.lm_head = new Linear(this.config.n_embd, this.config.vocab_size, false)
    if (this.config.tie_word_embeddings) this.lm_head.tie(this.transformer.wte.weight)
    this.initialize()
  }

  protected head(x: Tensor): Tensor {
    return this.lm_head(x)
  }
}

/** GPT-2 with a linear classifier on the last token that is not padding. */
export class GPT2ForSequenceClassification extends DecoderForSequenceClassification<GPT2Config> {
  static override readonly config_class: ConfigClass = GPT2Config
  static override readonly base_model_prefix: string = 'transformer'
  static override readonly transposed: readonly RegExp[] = TRANSPOSED
  static override readonly ignore_unexpected: readonly RegExp[] = BUFFERS

  transformer: GPT2Model
  score: Linear

  constructor(given: GPT2Config | Record<string, unknown>) {
    super(given)
    this.transformer = new GPT2Model(this.config)
    this.score = new Linear(this.config.n_embd, this.config.num_labels, false)
    this.initialize()
  }
}
