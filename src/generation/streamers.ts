// Streamers: text as it is generated (transformers.TextStreamer).
import { StreamDecoder } from '../tokenizers/stream.ts'
import type { PreTrainedTokenizer } from '../tokenizers/tokenizer.ts'
import { checkOptions, RushlightError, shown } from '../util/errors.ts'

/** What generate() tells of its progress: the prompt, then each new token, for one sequence. */
export interface Streamer {
  put(ids: readonly number[]): void
  end(): void
}

/** Options of TextStreamer. */
export interface TextStreamerOptions {
  /** Leave the prompt out. */
  skip_prompt?: boolean
  skip_special_tokens?: boolean
  /** Gets each piece of text. Default: writes it to standard output where there is one, else to the console. */
  callback_function?: (text: string) => void
  /** Gets the ids of each step. */
  token_callback_function?: (ids: readonly number[]) => void
}

/** Hands over text as soon as it is whole characters; never half of one. */
export class TextStreamer implements Streamer {
  private readonly decoder: StreamDecoder
  private readonly write: (text: string) => void
  private first = true

  constructor(
    tokenizer: PreTrainedTokenizer,
    private readonly options: TextStreamerOptions = {},
  ) {
    checkOptions('TextStreamer', options, [
      'skip_prompt',
      'skip_special_tokens',
      'callback_function',
      'token_callback_function',
    ])
    this.decoder = new StreamDecoder(tokenizer, { skip_special_tokens: options.skip_special_tokens ?? false })
    this.write = options.callback_function ?? toOutput
  }

  put(ids: readonly number[]): void {
    const isPrompt = this.first
    this.first = false
    this.options.token_callback_function?.(ids)
    if (isPrompt && this.options.skip_prompt) return
    this.emit(this.decoder.push(ids))
  }

  end(): void {
    this.emit(this.decoder.flush())
    if (!this.options.callback_function) this.write('\n')
    this.first = true
  }

  private emit(text: string): void {
    if (text !== '') this.write(text)
  }
}

/**
 * Text as an async iterable: `for await (const text of streamer)` beside a call of generate() that is not awaited
 * (transformers.TextIteratorStreamer). It ends with generation; where generate() throws, end the loop by `streamer.end()`.
 */
export class TextIteratorStreamer extends TextStreamer implements AsyncIterable<string> {
  private readonly pieces: string[]
  private wake: (() => void) | null = null
  private ended = false

  constructor(tokenizer: PreTrainedTokenizer, options: Omit<TextStreamerOptions, 'callback_function'> = {}) {
    const pieces: string[] = []
    super(tokenizer, {
      ...options,
      callback_function: (text) => {
        pieces.push(text)
        this.wake?.()
      },
    })
    this.pieces = pieces
  }

  override end(): void {
    super.end()
    this.ended = true
    this.wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    for (;;) {
      while (this.pieces.length > 0) yield this.pieces.shift() as string
      if (this.ended) break
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
      this.wake = null
    }
    this.ended = false
  }
}

function toOutput(text: string): void {
  if (typeof process !== 'undefined' && process.stdout) process.stdout.write(text)
  else console.log(text)
}

/** @throws RushlightError when it is no streamer, or given for a batch */
export function checkStreamer(streamer: Streamer | undefined, batchSize: number): void {
  if (streamer !== undefined && (typeof streamer?.put !== 'function' || typeof streamer.end !== 'function'))
    throw new RushlightError(
      `generate: streamer: expected an object with put(ids) and end(), found ${shown(streamer)}. Hint: new TextStreamer(tokenizer)`,
    )
  if (streamer && batchSize > 1)
    throw new RushlightError(`generate: a streamer takes one sequence, found a batch of ${batchSize}`)
}
