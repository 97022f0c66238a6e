// Text generation: continues texts, or answers chats (transformers.TextGenerationPipeline).
import '../generation/generate.ts' // gives models generate()
import { GenerationConfig } from '../generation/config.ts'
import type { GenerateOptions } from '../generation/generate.ts'
import { AutoModelForCausalLM } from '../models/auto.ts'
import type { PreTrainedModel } from '../models/model.ts'
import type { PreTrainedTokenizer } from '../tokenizers/tokenizer.ts'
import { Callable } from '../util/callable.ts'
import { RushlightError, shown, unsupported } from '../util/errors.ts'

/** A turn of a chat. */
export interface Message {
  role: string
  content: string
}
type Chat = Message[]

/** Options of a call, or of the pipeline for all its calls: those of generate(), and how texts go in and come back. */
export interface TextGenerationOptions extends GenerateOptions {
  /** Give the prompt back in front of what was generated (default true). */
  return_full_text?: boolean
  /** Give `generated_token_ids`, prompt included, in place of text. */
  return_tensors?: boolean
  /** Leave special tokens out of the text (default true). */
  skip_special_tokens?: boolean
  clean_up_tokenization_spaces?: boolean
  /** For texts; a chat's template has its own. By default as the tokenizer does. */
  add_special_tokens?: boolean
  /** In front of each text. */
  prefix?: string
  /** Ends generation; stays in the output. */
  stop_sequence?: string | string[]
  /** 'hole': where prompt and new tokens are longer than the model takes, the prompt loses its beginning. */
  handle_long_generation?: 'hole' | null
  /** Continue a chat's last message; by default where it is the assistant's. */
  continue_final_message?: boolean
  /** For the chat template. */
  tools?: Record<string, unknown>[]
  documents?: Record<string, unknown>[]
  /** Further options of the tokenizer, or of apply_chat_template for a chat. */
  tokenizer_encode_kwargs?: Readonly<Record<string, unknown>>
}

/** For each prompt, the text or the chat with the answer appended. */
export type TextGenerationOutput = { generated_text: string | Chat; generated_token_ids?: undefined }[] | TokenOutput
type TokenOutput = { generated_text?: undefined; generated_token_ids: number[] }[]

/** What neither the caller nor the repository says (Python's _default_generation_config). */
const DEFAULTS = { max_new_tokens: 256, do_sample: true, temperature: 0.7 }

/** How texts go in and come back: everything that is not for generate(). */
function splitOptions(options: TextGenerationOptions) {
  const {
    return_full_text,
    return_tensors = false,
    skip_special_tokens = true,
    clean_up_tokenization_spaces,
    add_special_tokens,
    prefix = '',
    stop_sequence,
    handle_long_generation = null,
    continue_final_message,
    tools,
    documents,
    tokenizer_encode_kwargs = {},
    ...generation
  } = options
  if (handle_long_generation !== null && handle_long_generation !== 'hole')
    throw unsupported('text-generation', 'handle_long_generation', handle_long_generation, [null, 'hole'])
  if (return_tensors && return_full_text !== undefined)
    throw new RushlightError('text-generation: return_full_text and return_tensors exclude each other')
  const output = { full: return_full_text ?? true, return_tensors, skip_special_tokens, clean_up_tokenization_spaces }
  const input = { add_special_tokens, prefix, continue_final_message, tools, documents, tokenizer_encode_kwargs }
  return { input, output, generation, stop_sequence, handle_long_generation }
}

/** Continues a text or a chat, or each of a list of them. */
export class TextGenerationPipeline extends Callable<
  [inputs: string | string[] | Chat | Chat[], options?: TextGenerationOptions],
  Promise<TextGenerationOutput | TextGenerationOutput[]>
> {
  /** @param options for every call @throws UnsupportedOptionError for one that there is not */
  constructor(
    readonly model: PreTrainedModel,
    readonly tokenizer: PreTrainedTokenizer,
    private readonly options: TextGenerationOptions = {},
  ) {
    super()
    const { streamer: _, signal: __, ...generation } = splitOptions(options).generation
    new GenerationConfig(generation) // for its errors
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

  private async one(given: string | Chat, options: TextGenerationOptions): Promise<TextGenerationOutput> {
    const { input, output, generation, stop_sequence, handle_long_generation } = splitOptions({
      ...this.options,
      ...options,
    })
    const config = this.generationOptions(generation)
    const continues = isChat(given) && (input.continue_final_message ?? given[given.length - 1].role === 'assistant')
    const prompt = this.encode(given, continues, input)
    const ids = handle_long_generation === 'hole' ? this.shortened(prompt, config) : prompt
    const sequences = await this.model.generate({
      ...config,
      ...(stop_sequence !== undefined && { stop_strings: stop_sequence, tokenizer: this.tokenizer }),
      input_ids: [ids],
    } as GenerateOptions)
    const rows = sequences.tolist() as number[][]
    sequences.dispose()
    if (output.return_tensors) return rows.map((row) => ({ generated_token_ids: row }))
    return rows.map((row) => {
      const { full, skip_special_tokens, clean_up_tokenization_spaces } = output
      const answer = this.tokenizer.decode(row.slice(ids.length), {
        skip_special_tokens,
        ...(clean_up_tokenization_spaces !== undefined && { clean_up_tokenization_spaces }),
      })
      if (!full) return { generated_text: answer }
      if (!isChat(given)) return { generated_text: given + answer }
      if (!continues) return { generated_text: [...given, { role: 'assistant', content: answer }] }
      const last = given[given.length - 1]
      return { generated_text: [...given.slice(0, -1), { ...last, content: last.content + answer }] }
    })
  }

  /** What the caller says, and of the defaults what neither he nor the repository does. */
  private generationOptions(given: GenerateOptions): GenerateOptions {
    const said: Partial<GenerationConfig> = { ...withoutNulls(this.model.generation_config ?? {}), ...given }
    const defaults = Object.entries({ ...DEFAULTS, pad_token_id: this.tokenizer.pad_token_id }).filter(
      ([key]) =>
        !(key in said) &&
        !(key === 'temperature' && said.do_sample === false) &&
        !(key === 'max_new_tokens' && given.max_length != null), // a length that is given stands in its place
    )
    return { ...Object.fromEntries(defaults), ...given }
  }

  private encode(given: string | Chat, continues: boolean, input: ReturnType<typeof splitOptions>['input']): number[] {
    const { add_special_tokens, prefix, tools, documents, tokenizer_encode_kwargs } = input
    if (!isChat(given)) {
      const { input_ids } = this.tokenizer(prefix + given, {
        ...(add_special_tokens !== undefined && { add_special_tokens }),
        ...tokenizer_encode_kwargs,
      })
      return input_ids as number[]
    }
    return this.tokenizer.apply_chat_template(given, {
      add_generation_prompt: !continues,
      ...(continues && { continue_final_message: true }),
      ...(tools && { tools }),
      ...(documents && { documents }),
      ...tokenizer_encode_kwargs,
      tokenize: true,
      return_dict: false,
    }) as number[]
  }

  /** The prompt's end, as long as leaves room for what is to be generated. */
  private shortened(ids: number[], { max_new_tokens, max_length }: GenerateOptions): number[] {
    const most = this.tokenizer.model_max_length
    const added = max_new_tokens ?? (max_length ?? 0) - ids.length
    if (added < 0) throw new RushlightError('text-generation: max_length is shorter than the prompt')
    if (ids.length + added <= most) return ids
    if (added >= most)
      throw new RushlightError(
        `text-generation: ${added} new tokens do not fit the model's ${most}. Hint: a smaller max_new_tokens`,
      )
    return ids.slice(added - most)
  }

  /** Frees the model. */
  dispose(): void {
    this.model.dispose()
  }
}

function withoutNulls(values: object): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== undefined))
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
  default_model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
  create: (model: PreTrainedModel, tokenizer: PreTrainedTokenizer, options: TextGenerationOptions) =>
    new TextGenerationPipeline(model, tokenizer, options),
  load: AutoModelForCausalLM.from_pretrained,
}
