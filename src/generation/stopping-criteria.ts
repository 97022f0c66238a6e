// What ends a sequence beside its length: an end token, a text, a time, or the caller's own word.
import type { PreTrainedTokenizer } from '../tokenizers/tokenizer.ts'
import { RushlightError } from '../util/errors.ts'
import type { GenerationConfig } from './config.ts'

/** Whether a sequence ends with what it has now: its ids, and the scores that its last one was chosen by. */
export type StoppingCriteria = (ids: readonly number[], scores: Float32Array | null) => boolean

/** An end token. */
export function endOf(eos: readonly number[]): StoppingCriteria {
  return (ids) => eos.includes(ids[ids.length - 1])
}

/** So many tokens in all. */
export function maxLength(length: number): StoppingCriteria {
  return (ids) => ids.length >= length
}

/** So many seconds from now. */
export function maxTime(seconds: number, now: () => number = () => performance.now()): StoppingCriteria {
  const end = now() + 1000 * seconds
  return () => now() >= end
}

/** A text that ends within the last token. */
export function stopStrings(stops: readonly string[], tokenizer: PreTrainedTokenizer): StoppingCriteria {
  // No token is empty text for long: this many hold the longest stop, and what stands before it.
  const most = Math.max(...stops.map((stop) => stop.length)) + 8
  const decode = (ids: readonly number[]) =>
    tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false })
  return (ids) => {
    const tail = ids.slice(-most)
    const before = decode(tail.slice(0, -1))
    const text = decode(tail)
    return stops.some((stop) => {
      const at = text.lastIndexOf(stop)
      return at >= 0 && at + stop.length > commonLength(before, text)
    })
  }
}

/** Characters at the beginning that two texts share. */
function commonLength(a: string, b: string): number {
  let n = 0
  while (n < a.length && a[n] === b[n]) n++
  return n
}

/** The criteria that a config asks for. */
export function criteriaOf(
  config: GenerationConfig,
  {
    eos,
    limit,
    tokenizer,
    own = [],
  }: { eos: readonly number[]; limit: number; tokenizer?: PreTrainedTokenizer; own?: readonly StoppingCriteria[] },
): StoppingCriteria[] {
  const list = [...own]
  if (Number.isFinite(limit)) list.push(maxLength(limit))
  if (config.max_time !== null) list.push(maxTime(config.max_time))
  if (config.stop_strings !== null) {
    if (!tokenizer)
      throw new RushlightError(
        'generate: stop_strings need the tokenizer. Hint: generate({ …, stop_strings, tokenizer })',
      )
    list.push(stopStrings([config.stop_strings].flat(), tokenizer))
  }
  if (eos.length > 0) list.push(endOf(eos))
  return list
}
