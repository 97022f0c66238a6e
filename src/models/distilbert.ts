// DistilBERT (Sanh et al. 2019): BERT with half the layers, without segments and pooler.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import { arange } from '../ops/creation.ts'
import { Tensor } from '../tensor/tensor.ts'
import { ShapeError } from '../util/errors.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { PreTrainedConfig } from './config.ts'
import { inThisScope } from './decoder.ts'
import { attendAround, type EncoderContext, encoderContext } from './encoder.ts'
import { batch, checkInputs, type IntInput, labelTensor, oneOf } from './inputs.ts'
import { maskedLMLoss, sequenceClassificationLoss } from './losses.ts'
import { type ConfigClass, PreTrainedModel } from './model.ts'
import type { BaseModelOutput, CausalLMOutput, SequenceClassifierOutput } from './outputs.ts'

const defaults = {
  vocab_size: 30522,
  max_position_embeddings: 512,
  sinusoidal_pos_embds: false,
  n_layers: 6,
  n_heads: 12,
  dim: 768,
  hidden_dim: 3072,
  dropout: 0.1,
  attention_dropout: 0.1,
  activation: 'gelu',
  initializer_range: 0.02,
  seq_classif_dropout: 0.2,
  pad_token_id: 0 as number | null,
}

export interface DistilBertConfig extends Readonly<Omit<typeof defaults, 'pad_token_id'>> {}
/** Configuration of DistilBERT. */
export class DistilBertConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'distilbert'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
  static override readonly attribute_map = {
    hidden_size: 'dim',
    num_attention_heads: 'n_heads',
    num_hidden_layers: 'n_layers',
  }

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    if (this.dim % this.n_heads !== 0)
      throw new ShapeError(`config: dim ${this.dim} is not a multiple of n_heads ${this.n_heads}`)
  }
}

const EPS = 1e-12

class DistilBertEmbeddings extends Module<[words: Tensor, positions: Tensor | null], Tensor> {
  word_embeddings: Embedding
  position_embeddings: Embedding
  LayerNorm: LayerNorm
  dropout: Dropout

  constructor({ vocab_size, max_position_embeddings, dim, pad_token_id, dropout }: DistilBertConfig) {
    super()
    this.word_embeddings = new Embedding(vocab_size, dim, { padding_idx: pad_token_id })
    this.position_embeddings = new Embedding(max_position_embeddings, dim)
    this.LayerNorm = new LayerNorm(dim, { eps: EPS })
    this.dropout = new Dropout(dropout)
  }

  forward(words: Tensor, positions: Tensor | null): Tensor {
    const T = words.shape[1]
    const longest = this.position_embeddings.num_embeddings
    if (T > longest)
      throw new ShapeError(
        `DistilBertModel: ${T} tokens are more than the ${longest} positions of the model. Hint: tokenizer(text, { truncation: true, max_length: ${longest} })`,
      )
    return this.dropout(this.LayerNorm(words.add(this.position_embeddings(positions ?? arange(T))))) // (B,T,H)
  }
}

class MultiHeadSelfAttention extends Module<[x: Tensor, context: EncoderContext], Tensor> {
  q_lin: Linear
  k_lin: Linear
  v_lin: Linear
  out_lin: Linear

  constructor(private readonly config: DistilBertConfig) {
    super()
    const { dim: H } = config
    this.q_lin = new Linear(H, H)
    this.k_lin = new Linear(H, H)
    this.v_lin = new Linear(H, H)
    this.out_lin = new Linear(H, H)
  }

  forward(x: Tensor, context: EncoderContext): Tensor {
    const { n_heads, attention_dropout } = this.config
    const projections = [this.q_lin(x), this.k_lin(x), this.v_lin(x)]
    return this.out_lin(attendAround(projections, n_heads, context, this.training ? attention_dropout : 0)) // (B,T,H)
  }
}

class FFN extends Module<[x: Tensor], Tensor> {
  lin1: Linear
  lin2: Linear
  private readonly act: Activation

  constructor(private readonly config: DistilBertConfig) {
    super()
    this.lin1 = new Linear(config.dim, config.hidden_dim)
    this.lin2 = new Linear(config.hidden_dim, config.dim)
    this.act = ACT2FN(config.activation)
  }

  forward(x: Tensor): Tensor {
    return F.dropout(this.lin2(this.act(this.lin1(x))), this.config.dropout, this.training) // (B,T,H)
  }
}

class TransformerBlock extends Module<[x: Tensor, context: EncoderContext], Tensor> {
  attention: MultiHeadSelfAttention
  sa_layer_norm: LayerNorm
  ffn: FFN
  output_layer_norm: LayerNorm

  constructor(config: DistilBertConfig) {
    super()
    this.attention = new MultiHeadSelfAttention(config)
    this.sa_layer_norm = new LayerNorm(config.dim, { eps: EPS })
    this.ffn = new FFN(config)
    this.output_layer_norm = new LayerNorm(config.dim, { eps: EPS })
  }

  forward(x: Tensor, context: EncoderContext): Tensor {
    const h = this.sa_layer_norm(this.attention(x, context).add(x))
    return this.output_layer_norm(this.ffn(h).add(h)) // (B,T,H)
  }
}

/** The layers: the output of each. */
class Transformer extends Module<[x: Tensor, context: EncoderContext], Tensor[]> {
  layer: ModuleList<TransformerBlock>

  constructor(config: DistilBertConfig) {
    super()
    this.layer = new ModuleList(Array.from({ length: config.n_layers }, () => new TransformerBlock(config)))
  }

  forward(x: Tensor, context: EncoderContext): Tensor[] {
    const states = [x]
    for (const layer of this.layer) states.push(layer(states[states.length - 1], context))
    return states.slice(1)
  }
}

/** What the models are called with. */
export interface DistilBertInputs {
  /** (B,T) */
  input_ids?: IntInput
  /** (B,T): 1 for tokens, 0 for padding. */
  attention_mask?: IntInput | null
  position_ids?: IntInput | null
  /** (B,T,H) in place of ids. */
  inputs_embeds?: Tensor | null
  output_hidden_states?: boolean
  /** Needs `attn_implementation: 'eager'`. */
  output_attentions?: boolean
}

const INPUTS = [
  'input_ids',
  'attention_mask',
  'position_ids',
  'inputs_embeds',
  'output_hidden_states',
  'output_attentions',
  'return_dict',
]

/** The encoder without a head. */
export class DistilBertModel extends PreTrainedModel<DistilBertConfig, [inputs: DistilBertInputs], BaseModelOutput> {
  static override readonly config_class: ConfigClass = DistilBertConfig

  embeddings: DistilBertEmbeddings
  transformer: Transformer

  constructor(given: DistilBertConfig | Record<string, unknown>) {
    super(given)
    this.embeddings = new DistilBertEmbeddings(this.config)
    this.transformer = new Transformer(this.config)
    this.initialize()
    if (this.config.sinusoidal_pos_embds) this.embeddings.position_embeddings.weight.initializeWith(sinusoids)
  }

  forward(inputs: DistilBertInputs): BaseModelOutput {
    checkInputs('DistilBertModel', inputs, INPUTS)
    const of = (name: 'input_ids' | 'attention_mask' | 'position_ids') => batch('DistilBertModel', name, inputs[name])
    const ids = of('input_ids')
    oneOf('DistilBertModel', ids, inputs.inputs_embeds)
    const words = inputs.inputs_embeds ?? this.embeddings.word_embeddings(ids as Tensor) // (B,T,H)
    const x = this.embeddings(words, of('position_ids'))
    const context = encoderContext('DistilBertModel', this.config, of('attention_mask'), inputs.output_attentions)
    const states = this.transformer(x, context)
    return {
      last_hidden_state: states.at(-1) ?? x,
      ...(inputs.output_hidden_states && { hidden_states: [x, ...states] }),
      ...(context.attentions && { attentions: context.attentions.map(inThisScope) }),
    }
  }
}

/** Sines and cosines of positions, by turns (Vaswani et al. 2017). */
function sinusoids(weight: Tensor): void {
  const [S, H] = weight.shape
  const values = Float32Array.from({ length: S * H }, (_, i) => {
    const [position, d] = [Math.floor(i / H), i % H]
    const angle = position / 10000 ** ((2 * Math.floor(d / 2)) / H)
    return d % 2 === 0 ? Math.sin(angle) : Math.cos(angle)
  })
  weight.copy_(Tensor.from(values, [S, H], 'float32'))
}

/** DistilBERT that fills in masked tokens: labels stand at the positions they are of. */
export class DistilBertForMaskedLM extends PreTrainedModel<
  DistilBertConfig,
  [inputs: DistilBertInputs & { labels?: IntInput | null }],
  CausalLMOutput
> {
  static override readonly config_class: ConfigClass = DistilBertConfig
  static override readonly base_model_prefix: string = 'distilbert'

  distilbert: DistilBertModel
  vocab_transform: Linear
  vocab_layer_norm: LayerNorm
  vocab_projector: Linear
  private readonly act: Activation

  constructor(given: DistilBertConfig | Record<string, unknown>) {
    super(given)
    const { dim: H, vocab_size, activation, tie_word_embeddings } = this.config
    this.distilbert = new DistilBertModel(this.config)
    this.vocab_transform = new Linear(H, H)
    this.vocab_layer_norm = new LayerNorm(H, { eps: EPS })
    this.vocab_projector = new Linear(H, vocab_size)
    if (tie_word_embeddings) this.vocab_projector.tie(this.distilbert.embeddings.word_embeddings.weight)
    this.act = ACT2FN(activation)
    this.initialize()
  }

  forward({ labels, ...inputs }: DistilBertInputs & { labels?: IntInput | null }): CausalLMOutput {
    const { last_hidden_state: x, ...rest } = this.distilbert(inputs)
    const logits = this.vocab_projector(this.vocab_layer_norm(this.act(this.vocab_transform(x)))) // (B,T,V)
    const targets = batch('DistilBertForMaskedLM', 'labels', labels)
    return { ...(targets && { loss: maskedLMLoss(logits, targets) }), logits, ...rest }
  }
}

/** DistilBERT with a classifier on its first token. */
export class DistilBertForSequenceClassification extends PreTrainedModel<
  DistilBertConfig,
  [inputs: DistilBertInputs & { labels?: Tensor | number[] | null }],
  SequenceClassifierOutput
> {
  static override readonly config_class: ConfigClass = DistilBertConfig
  static override readonly base_model_prefix: string = 'distilbert'

  distilbert: DistilBertModel
  pre_classifier: Linear
  classifier: Linear
  dropout: Dropout

  constructor(given: DistilBertConfig | Record<string, unknown>) {
    super(given)
    const { dim: H, num_labels, seq_classif_dropout } = this.config
    this.distilbert = new DistilBertModel(this.config)
    this.pre_classifier = new Linear(H, H)
    this.classifier = new Linear(H, num_labels)
    this.dropout = new Dropout(seq_classif_dropout)
    this.initialize()
  }

  forward({ labels, ...inputs }: DistilBertInputs & { labels?: Tensor | number[] | null }): SequenceClassifierOutput {
    const { last_hidden_state, ...rest } = this.distilbert(inputs)
    const pooled = F.relu(this.pre_classifier(last_hidden_state.select(1, 0))) // (B,H)
    const logits = this.classifier(this.dropout(pooled)) // (B,C)
    const targets = labelTensor(labels, this.config)
    const loss = targets && sequenceClassificationLoss(logits, targets, this.config)
    return { ...(loss && { loss }), logits, ...rest }
  }
}
