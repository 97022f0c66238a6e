// Incremental decoding: text as ids arrive. Never half a character, and in the end what decode() gives for all of them.
import { checkOptions } from '../util/errors.ts'
import { cleanUp, cleanUpHolds, type Decoder } from './decoders.ts'
import type { DecodeOptions, PreTrainedTokenizer } from './tokenizer.ts'

/** Decodes one sequence as its ids arrive; each id is looked at once. */
export class StreamDecoder {
  private readonly cleansUp: boolean
  private readonly skipSpecial: boolean
  private decoder: Decoder
  private held = ''

  constructor(
    private readonly tokenizer: PreTrainedTokenizer,
    options: DecodeOptions = {},
  ) {
    checkOptions('StreamDecoder', options, ['skip_special_tokens', 'clean_up_tokenization_spaces'])
    this.cleansUp = tokenizer.cleansUp(options)
    this.skipSpecial = options.skip_special_tokens ?? false
    this.decoder = tokenizer.engine.decoder()
  }

  /** Takes the next ids; returns the text that is certain now. */
  push(ids: Iterable<number | bigint>): string {
    const text = this.decoder.push(this.tokenizer.engine.tokensToDecode(ids, this.skipSpecial)).join('')
    if (!this.cleansUp) return text
    const all = this.held + text
    const at = cleanUpHolds(all)
    this.held = all.slice(at)
    return cleanUp(all.slice(0, at))
  }

  /** Returns what was held back; what comes next is another sequence. */
  flush(): string {
    const text = this.held + this.decoder.end().join('')
    this.held = ''
    this.decoder = this.tokenizer.engine.decoder()
    return this.cleansUp ? cleanUp(text) : text
  }
}
