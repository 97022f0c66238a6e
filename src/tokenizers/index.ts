// Tokenizers: text to ids and back, chats to prompts.
export { AutoTokenizer, type TokenizerOptions } from './auto.ts'
export { BpeTrainer, type BpeTrainerOptions } from './bpe-trainer.ts'
export type { ChatMessage, ChatTemplate } from './chat.ts'
export { BatchEncoding, type CharSpan, type Encoded } from './encoding.ts'
export type { AddedToken, TokenContent, TokenizerConfig, TokenizerJson } from './format.ts'
export { StreamDecoder } from './stream.ts'
export {
  type ChatOptions,
  type DecodeOptions,
  type EncodeOptions,
  type PadOptions,
  PreTrainedTokenizer,
  PreTrainedTokenizer as PreTrainedTokenizerFast,
  type TokenIds,
} from './tokenizer.ts'
