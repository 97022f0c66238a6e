// BERT (Devlin et al. 2018): post-norm encoder with learned positions and segment embeddings.
import { ModuleList } from '../nn/containers.ts'
import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import { Parameter } from '../nn/parameter.ts'
import * as init from '../nn/init.ts'
import { arange, zeros } from '../ops/creation.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ShapeError, unsupported } from '../util/errors.ts'
import { ACT2FN, type Activation } from './activations.ts'
import { PreTrainedConfig } from './config.ts'
import { inThisScope } from './decoder.ts'
import { attendAround, type EncoderContext, encoderContext } from './encoder.ts'
import { batch, checkInputs, type IntInput, labelTensor, oneOf } from './inputs.ts'
import { causalLMLoss, maskedLMLoss, sequenceClassificationLoss } from './losses.ts'
import { PreTrainedModel } from './model.ts'
import type { BaseModelOutput, CausalLMOutput, SequenceClassifierOutput } from './outputs.ts'

const defaults = {
  vocab_size: 30522,
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  hidden_act: 'gelu',
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  initializer_range: 0.02,
  layer_norm_eps: 1e-12,
  pad_token_id: 0,
  position_embedding_type: 'absolute',
  classifier_dropout: null as number | null,
}

export interface BertConfig extends Readonly<Omit<typeof defaults, 'pad_token_id'>> {}
/** Configuration of BERT. */
export class BertConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'bert'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults
}

class BertEmbeddings extends Module<
  [ids: Tensor | null, types: Tensor | null, positions: Tensor | null, embeds: Tensor | null],
  Tensor
> {
  word_embeddings: Embedding
  position_embeddings: Embedding
  token_type_embeddings: Embedding
  LayerNorm: LayerNorm
  dropout: Dropout

  constructor(config: BertConfig) {
    super()
    const { hidden_size: H } = config
    this.word_embeddings = new Embedding(config.vocab_size, H, { padding_idx: config.pad_token_id })
    this.position_embeddings = new Embedding(config.max_position_embeddings, H)
    this.token_type_embeddings = new Embedding(config.type_vocab_size, H)
    this.LayerNorm = new LayerNorm(H, { eps: config.layer_norm_eps })
    this.dropout = new Dropout(config.hidden_dropout_prob)
  }

  forward(ids: Tensor | null, types: Tensor | null, positions: Tensor | null, embeds: Tensor | null): Tensor {
    const words = embeds ?? this.word_embeddings(ids as Tensor) // (B,T,H)
    const [B, T] = words.shape
    const longest = this.position_embeddings.num_embeddings
    if (T > longest)
      throw new ShapeError(
        `BertModel: ${T} tokens are more than the ${longest} positions of the model. Hint: tokenizer(text, { truncation: true, max_length: ${longest} })`,
      )
    const typed = words.add(this.token_type_embeddings(types ?? zeros([B, T], { dtype: 'int64' })))
    return this.dropout(this.LayerNorm(typed.add(this.position_embeddings(positions ?? arange(T))))) // (B,T,H)
  }
}

class BertSelfAttention extends Module<[x: Tensor, context: EncoderContext], Tensor> {
  query: Linear
  key: Linear
  value: Linear
  private readonly heads: number
  private readonly dropout_p: number

  constructor({ hidden_size: H, num_attention_heads, attention_probs_dropout_prob }: BertConfig) {
    super()
    if (H % num_attention_heads !== 0)
      throw new ShapeError(`config: hidden_size ${H} is not a multiple of num_attention_heads ${num_attention_heads}`)
    this.heads = num_attention_heads
    this.dropout_p = attention_probs_dropout_prob
    this.query = new Linear(H, H)
    this.key = new Linear(H, H)
    this.value = new Linear(H, H)
  }

  forward(x: Tensor, context: EncoderContext): Tensor {
    const projections = [this.query(x), this.key(x), this.value(x)]
    return attendAround(projections, this.heads, context, this.training ? this.dropout_p : 0)
  }
}

/** A projection, dropout, the residual and its norm: BertSelfOutput and BertOutput alike. */
class BertResidual extends Module<[x: Tensor, residual: Tensor], Tensor> {
  dense: Linear
  LayerNorm: LayerNorm
  dropout: Dropout

  constructor(inputs: number, { hidden_size: H, layer_norm_eps: eps, hidden_dropout_prob }: BertConfig) {
    super()
    this.dense = new Linear(inputs, H)
    this.LayerNorm = new LayerNorm(H, { eps })
    this.dropout = new Dropout(hidden_dropout_prob)
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    return this.LayerNorm(this.dropout(this.dense(x)).add(residual)) // (B,T,H)
  }
}

class BertAttention extends Module<[x: Tensor, context: EncoderContext], Tensor> {
  self: BertSelfAttention
  output: BertResidual

  constructor(config: BertConfig) {
    super()
    this.self = new BertSelfAttention(config)
    this.output = new BertResidual(config.hidden_size, config)
  }

  forward(x: Tensor, context: EncoderContext): Tensor {
    return this.output(this.self(x, context), x)
  }
}

class BertIntermediate extends Module<[x: Tensor], Tensor> {
  dense: Linear
  private readonly act: Activation

  constructor({ hidden_size, intermediate_size, hidden_act }: BertConfig) {
    super()
    this.dense = new Linear(hidden_size, intermediate_size)
    this.act = ACT2FN(hidden_act)
  }

  forward(x: Tensor): Tensor {
    return this.act(this.dense(x)) // (B,T,I)
  }
}

class BertLayer extends Module<[x: Tensor, context: EncoderContext], Tensor> {
  attention: BertAttention
  intermediate: BertIntermediate
  output: BertResidual

  constructor(config: BertConfig) {
    super()
    this.attention = new BertAttention(config)
    this.intermediate = new BertIntermediate(config)
    this.output = new BertResidual(config.intermediate_size, config)
  }

  forward(x: Tensor, context: EncoderContext): Tensor {
    const h = this.attention(x, context)
    return this.output(this.intermediate(h), h) // (B,T,H)
  }
}

/** Gives the output of every layer, or of the last alone. */
class BertEncoder extends Module<[x: Tensor, context: EncoderContext, all: boolean], Tensor[]> {
  layer: ModuleList<BertLayer>

  constructor(config: BertConfig) {
    super()
    this.layer = new ModuleList(Array.from({ length: config.num_hidden_layers }, () => new BertLayer(config)))
  }

  forward(x: Tensor, context: EncoderContext, all: boolean): Tensor[] {
    const states: Tensor[] = []
    for (const layer of this.layer) {
      x = layer(x, context)
      if (all) states.push(x)
    }
    return all ? states : [x]
  }
}

class BertPooler extends Module<[x: Tensor], Tensor> {
  dense: Linear

  constructor({ hidden_size: H }: BertConfig) {
    super()
    this.dense = new Linear(H, H)
  }

  forward(x: Tensor): Tensor {
    return this.dense(x.select(1, 0)).tanh() // (B,H)
  }
}

/** What the BERT models are called with. */
export interface BertInputs {
  /** (B,T) */
  input_ids?: IntInput
  /** (B,T): 1 for tokens, 0 for padding. */
  attention_mask?: IntInput | null
  /** (B,T): which of two texts a token belongs to. */
  token_type_ids?: IntInput | null
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
  'token_type_ids',
  'position_ids',
  'inputs_embeds',
  'output_hidden_states',
  'output_attentions',
  'return_dict',
]

/** The encoder, with its pooler unless `add_pooling_layer` is false. */
export class BertModel extends PreTrainedModel<BertConfig, [inputs: BertInputs], BaseModelOutput> {
  static override readonly config_class = BertConfig
  static override readonly base_model_prefix: string = ''
  static override readonly rename = [
    { from: /LayerNorm\.gamma$/, to: 'LayerNorm.weight' },
    { from: /LayerNorm\.beta$/, to: 'LayerNorm.bias' },
  ]
  static override readonly ignore_unexpected = [/(^|\.)embeddings\.position_ids$/]
  static override readonly may_miss = [/^pooler\./]

  embeddings: BertEmbeddings
  encoder: BertEncoder
  pooler: BertPooler | null

  constructor(
    given: BertConfig | Record<string, unknown>,
    { add_pooling_layer = true }: { add_pooling_layer?: boolean } = {},
  ) {
    super(given)
    const { position_embedding_type } = this.config
    if (position_embedding_type !== 'absolute')
      throw unsupported('config', 'position_embedding_type', position_embedding_type, ['absolute'])
    this.embeddings = new BertEmbeddings(this.config)
    this.encoder = new BertEncoder(this.config)
    this.pooler = add_pooling_layer ? new BertPooler(this.config) : null
    this.initialize()
  }

  forward(inputs: BertInputs): BaseModelOutput {
    checkInputs('BertModel', inputs, INPUTS)
    const of = (name: 'input_ids' | 'attention_mask' | 'token_type_ids' | 'position_ids') =>
      batch('BertModel', name, inputs[name])
    const ids = of('input_ids')
    oneOf('BertModel', ids, inputs.inputs_embeds)
    const mask = of('attention_mask')
    const x = this.embeddings(ids, of('token_type_ids'), of('position_ids'), inputs.inputs_embeds ?? null)
    const context = encoderContext('BertModel', this.config, mask, inputs.output_attentions)
    const states = this.encoder(x, context, inputs.output_hidden_states ?? false)
    const last_hidden_state = states.at(-1) ?? x // (B,T,H)
    const hidden_states = inputs.output_hidden_states ? [x, ...states] : undefined
    const pooler_output = this.pooler?.(last_hidden_state)
    return {
      last_hidden_state,
      ...(pooler_output && { pooler_output }),
      ...(hidden_states && { hidden_states }),
      ...(context.attentions && { attentions: context.attentions.map(inThisScope) }),
    }
  }
}

class BertPredictionHeadTransform extends Module<[x: Tensor], Tensor> {
  dense: Linear
  LayerNorm: LayerNorm
  private readonly act: Activation

  constructor({ hidden_size: H, hidden_act, layer_norm_eps: eps }: BertConfig) {
    super()
    this.dense = new Linear(H, H)
    this.LayerNorm = new LayerNorm(H, { eps })
    this.act = ACT2FN(hidden_act)
  }

  forward(x: Tensor): Tensor {
    return this.LayerNorm(this.act(this.dense(x)))
  }
}

class BertLMPredictionHead extends Module<[x: Tensor], Tensor> {
  transform: BertPredictionHeadTransform
  decoder: Linear
  /** The decoder's bias, under the name that checkpoints have. */
  bias: Parameter

  constructor(config: BertConfig, words: Embedding) {
    super()
    this.transform = new BertPredictionHeadTransform(config)
    this.decoder = new Linear(config.hidden_size, config.vocab_size, false)
    if (config.tie_word_embeddings) this.decoder.tie(words.weight)
    this.bias = Parameter.lazy([config.vocab_size], (t) => void init.zeros_(t))
    this.decoder.bias = this.bias
  }

  forward(x: Tensor): Tensor {
    return this.decoder(this.transform(x)) // (B,T,V)
  }
}

class BertOnlyMLMHead extends Module<[x: Tensor], Tensor> {
  predictions: BertLMPredictionHead

  constructor(config: BertConfig, words: Embedding) {
    super()
    this.predictions = new BertLMPredictionHead(config, words)
  }

  forward(x: Tensor): Tensor {
    return this.predictions(x)
  }
}

/** Inputs of the language models. */
export interface BertLMInputs extends BertInputs {
  /** (B,T); -100 is left out. */
  labels?: IntInput | null
}

abstract class BertWithLMHead extends PreTrainedModel<BertConfig, [inputs: BertLMInputs], CausalLMOutput> {
  static override readonly config_class = BertConfig
  static override readonly base_model_prefix: string = 'bert'
  static override readonly rename = BertModel.rename
  static override readonly ignore_unexpected = [/position_ids$/, /^bert\.pooler\./, /^cls\.seq_relationship\./]

  bert: BertModel
  cls: BertOnlyMLMHead

  constructor(given: BertConfig | Record<string, unknown>) {
    super(given)
    this.bert = new BertModel(this.config, { add_pooling_layer: false })
    this.cls = new BertOnlyMLMHead(this.config, this.bert.embeddings.word_embeddings)
    this.initialize()
  }

  protected abstract loss(logits: Tensor, labels: Tensor): Tensor

  forward({ labels, ...inputs }: BertLMInputs): CausalLMOutput {
    const { last_hidden_state, pooler_output: _, ...rest } = this.bert(inputs)
    const logits = this.cls(last_hidden_state) // (B,T,V)
    const targets = batch('BertForMaskedLM', 'labels', labels)
    return { ...(targets && { loss: this.loss(logits, targets) }), logits, ...rest }
  }
}

/** BERT that fills in masked tokens: labels stand at the positions they are of. */
export class BertForMaskedLM extends BertWithLMHead {
  protected loss(logits: Tensor, labels: Tensor): Tensor {
    return maskedLMLoss(logits, labels)
  }
}

/** BERT as a causal language model (`is_decoder: true` in the config makes attention causal): labels are of the next position. */
export class BertLMHeadModel extends BertWithLMHead {
  protected loss(logits: Tensor, labels: Tensor): Tensor {
    return causalLMLoss(logits, labels)
  }
}

/** Inputs of the classifier. */
export interface BertClassifierInputs extends BertInputs {
  /** (B): class indices, or numbers for regression. */
  labels?: Tensor | number[] | null
}

/** BERT with a linear classifier on its pooled first token. */
export class BertForSequenceClassification extends PreTrainedModel<
  BertConfig,
  [inputs: BertClassifierInputs],
  SequenceClassifierOutput
> {
  static override readonly config_class = BertConfig
  static override readonly base_model_prefix: string = 'bert'
  static override readonly rename = BertModel.rename
  static override readonly ignore_unexpected = [/position_ids$/]

  bert: BertModel
  dropout: Dropout
  classifier: Linear

  constructor(given: BertConfig | Record<string, unknown>) {
    super(given)
    this.bert = new BertModel(this.config)
    this.dropout = new Dropout(this.config.classifier_dropout ?? this.config.hidden_dropout_prob)
    this.classifier = new Linear(this.config.hidden_size, this.config.num_labels)
    this.initialize()
  }

  forward({ labels, ...inputs }: BertClassifierInputs): SequenceClassifierOutput {
    const { pooler_output, last_hidden_state: _, ...rest } = this.bert(inputs)
    const logits = this.classifier(this.dropout(pooler_output as Tensor)) // (B,C)
    const targets = labelTensor(labels, this.config)
    const loss = targets && sequenceClassificationLoss(logits, targets, this.config)
    return { ...(loss && { loss }), logits, ...rest }
  }
}
