// Text generation: continues texts, or answers chats (transformers.TextGenerationPipeline).
import '../generation/generate.ts' // gives models generate()
import type { GenerateOptions } from '../generation/generate.ts'
import { AutoModelForCausalLM } from '../models/auto.ts'
import type { PreTrainedModel } from '../models/model.ts'
import type { PreTrainedTokenizer } from '../tokenizers/tokenizer.ts'
import { Callable } from '../util/callable.ts'
import { RushlightError, shown } from '../util/errors.ts'

/** A turn of a chat. */
export interface Message {
  role: string
  content: string
}
type Chat = Message[]

/** Options of a call: those of generate(), and how texts come back. */
export interface TextGenerationOptions extends GenerateOptions {
  /** Give the prompt back in front of what was generated (default true). */
  return_full_text?: boolean
  skip_special_tokens?: boolean
  add_special_tokens?: boolean
}

/** For each prompt, the text or the chat with the answer appended. */
export type TextGenerationOutput = { generated_text: string | Chat }[]

/** Continues a text or a chat, or each of a list of them. */
export class TextGenerationPipeline extends Callable<
  [inputs: string | string[] | Chat | Chat[], options?: TextGenerationOptions],
  Promise<TextGenerationOutput | TextGenerationOutput[]>
> {
  constructor(
    readonly model: PreTrainedModel,
    readonly tokenizer: PreTrainedTokenizer,
  ) {
    super()
  }

  /** @internal */
  async _call(
    inputs: string | string[] | Chat | Chat[],
    options: TextGenerationOptions = {},
  ): Promise<TextGenerationOutput | TextGenerationOutput[]> {
    if (isChat(inputs) || typeof inputs === 'string') return this.one(inputs, options)
    const list: readonly unknown[] = Array.isArray(inputs) ? inputs : []
    const wrong = list.find((input) => typeof input !== 'string' && !isChat(input))
    if (list.length === 0 || wrong !== undefined)
      throw new RushlightError(
        `text-generation: expected a text, a chat [{ role, content }], or a list of them, found ${shown(wrong ?? inputs)}`,
      )
    const outputs: TextGenerationOutput[] = []
    for (const input of inputs as (string | Chat)[]) outputs.push(await this.one(input, options))
    return outputs
  }

  private async one(input: string | Chat, options: TextGenerationOptions): Promise<TextGenerationOutput> {
    const { return_full_text = true, skip_special_tokens = true, add_special_tokens, ...rest } = options
    const chat = isChat(input) ? input : null
    const text = chat
      ? (this.tokenizer.apply_chat_template(chat, { tokenize: false, add_generation_prompt: true }) as string)
      : (input as string)
    const { input_ids } = this.tokenizer(text, { add_special_tokens: add_special_tokens ?? chat === null })
    const ids = input_ids as number[]
    const sequences = await this.model.generate({
      max_new_tokens: rest.max_length === undefined ? 256 : undefined,
      ...rest,
      input_ids: [ids],
    })
    const all = (sequences.tolist() as number[][])[0]
    sequences.dispose()
    const answer = this.tokenizer.decode(all.slice(ids.length), { skip_special_tokens })
    if (chat) return [{ generated_text: return_full_text ? [...chat, { role: 'assistant', content: answer }] : answer }]
    return [{ generated_text: return_full_text ? text + answer : answer }]
  }

  /** Frees the model. */
  dispose(): void {
    this.model.dispose()
  }
}

function isChat(input: unknown): input is Chat {
  return (
    Array.isArray(input) &&
    input.length > 0 &&
    input.every((m) => m !== null && typeof m === 'object' && 'role' in m && 'content' in m)
  )
}

/** @internal */
export const task = {
  create: (model: PreTrainedModel, tokenizer: PreTrainedTokenizer) => new TextGenerationPipeline(model, tokenizer),
  load: AutoModelForCausalLM.from_pretrained,
}
