// What models return, under transformers' names. Fields that were not asked for are absent.
import type { Tensor } from '../tensor/tensor.ts'
import type { Cache } from './cache.ts'

/** Of a model without a head. */
export interface BaseModelOutput {
  /** (B,T,H) */
  last_hidden_state: Tensor
  /** (B,H): BERT's first token through its pooler. */
  pooler_output?: Tensor
  past_key_values?: Cache
  /** Embeddings, then the output of each layer: (B,T,H) each. */
  hidden_states?: Tensor[]
  /** Weights of each layer's attention, (B,Hq,T,S). */
  attentions?: Tensor[]
  /** Of models with experts: each router's logits, (B·T,E). */
  router_logits?: Tensor[]
}

/** Of a language model. */
export interface CausalLMOutput {
  /** Mean cross-entropy of the labels, when they are given. */
  loss?: Tensor
  /** Of models with experts: how unevenly their tokens are shared out. It is part of the loss, by `router_aux_loss_coef`. */
  aux_loss?: Tensor
  /** (B,T,V), or the last `logits_to_keep` positions of it. */
  logits: Tensor
  past_key_values?: Cache
  hidden_states?: Tensor[]
  /** Weights of each layer's attention, (B,Hq,T,S). */
  attentions?: Tensor[]
  /** Of models with experts: each router's logits, (B·T,E). */
  router_logits?: Tensor[]
}

/** Of a classifier of sequences. */
export interface SequenceClassifierOutput {
  loss?: Tensor
  /** (B,C) */
  logits: Tensor
  hidden_states?: Tensor[]
  /** Weights of each layer's attention, (B,Hq,T,S). */
  attentions?: Tensor[]
  /** Of models with experts: each router's logits, (B·T,E). */
  router_logits?: Tensor[]
}
