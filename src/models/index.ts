// Every public class of the models.
export {
  AutoConfig,
  AutoModel,
  AutoModelForCausalLM,
  AutoModelForMaskedLM,
  AutoModelForSequenceClassification,
  type FromConfigOptions,
  type ModelInputs,
} from './auto.ts'
export {
  type BertClassifierInputs,
  BertConfig,
  BertForMaskedLM,
  BertForSequenceClassification,
  type BertInputs,
  type BertLMInputs,
  BertLMHeadModel,
  BertModel,
} from './bert.ts'
export { BloomConfig, BloomForCausalLM, BloomForSequenceClassification, BloomModel } from './bloom.ts'
export { type Cache, DynamicCache, QuantizedCache, type QuantizedCacheConfig, StaticCache } from './cache.ts'
export {
  PreTrainedConfig,
  PreTrainedConfig as PretrainedConfig,
  type RopeParameters,
  ropeParameters,
} from './config.ts'
export type { CausalInputs, DecoderClassifierInputs, DecoderInputs } from './decoder.ts'
export {
  DistilBertConfig,
  DistilBertForMaskedLM,
  DistilBertForSequenceClassification,
  type DistilBertInputs,
  DistilBertModel,
} from './distilbert.ts'
export { FalconConfig, FalconForCausalLM, FalconForSequenceClassification, FalconModel } from './falcon.ts'
export { GemmaConfig, GemmaForCausalLM, GemmaForSequenceClassification, GemmaModel } from './gemma.ts'
export { Gemma2Config, Gemma2ForCausalLM, Gemma2ForSequenceClassification, Gemma2Model } from './gemma2.ts'
export { Gemma3ForCausalLM, Gemma3TextConfig, Gemma3TextForSequenceClassification, Gemma3TextModel } from './gemma3.ts'
export { GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel, GPT2Model } from './gpt2.ts'
export { GPTNeoConfig, GPTNeoForCausalLM, GPTNeoForSequenceClassification, GPTNeoModel } from './gpt_neo.ts'
export { GPTNeoXConfig, GPTNeoXForCausalLM, GPTNeoXForSequenceClassification, GPTNeoXModel } from './gpt_neox.ts'
export { GraniteConfig, GraniteForCausalLM, GraniteModel } from './granite.ts'
export { Lfm2Config, Lfm2ForCausalLM, Lfm2Model } from './lfm2.ts'
export {
  LlamaConfig,
  LlamaForCausalLM,
  LlamaForSequenceClassification,
  LlamaModel,
} from './llama.ts'
export { MambaConfig, MambaForCausalLM, MambaModel } from './mamba.ts'
export { MistralConfig, MistralForCausalLM, MistralForSequenceClassification, MistralModel } from './mistral.ts'
export { PreTrainedModel } from './model.ts'
export type { LoadingInfo } from './loading.ts'
export { OPTConfig, OPTForCausalLM, OPTForSequenceClassification, OPTModel } from './opt.ts'
export { PhiConfig, PhiForCausalLM, PhiForSequenceClassification, PhiModel } from './phi.ts'
export type { FromPretrainedOptions } from './pretrained.ts'
export { Olmo2Config, Olmo2ForCausalLM, Olmo2ForSequenceClassification, Olmo2Model } from './olmo2.ts'
export { OlmoeConfig, OlmoeForCausalLM, OlmoeModel } from './olmoe.ts'
export { Phi3Config, Phi3ForCausalLM, Phi3ForSequenceClassification, Phi3Model } from './phi3.ts'
export { Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification, Qwen2Model } from './qwen2.ts'
export { Qwen2MoeConfig, Qwen2MoeForCausalLM, Qwen2MoeForSequenceClassification, Qwen2MoeModel } from './qwen2_moe.ts'
export { Qwen3Config, Qwen3ForCausalLM, Qwen3ForSequenceClassification, Qwen3Model } from './qwen3.ts'
export { type Architecture, registerArchitecture, type Task } from './registry.ts'
export type { SaveTarget } from '../io/saving.ts'
export type { SaveOptions } from './saving.ts'
export { SmolLM3Config, SmolLM3ForCausalLM, SmolLM3ForSequenceClassification, SmolLM3Model } from './smollm3.ts'
export { StableLmConfig, StableLmForCausalLM, StableLmForSequenceClassification, StableLmModel } from './stablelm.ts'
export type { BaseModelOutput, CausalLMOutput, SequenceClassifierOutput } from './outputs.ts'
export {
  Starcoder2Config,
  Starcoder2ForCausalLM,
  Starcoder2ForSequenceClassification,
  Starcoder2Model,
} from './starcoder2.ts'
