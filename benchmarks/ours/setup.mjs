// The built rushlight with the threads and the binary that the command line asks for.
import { options } from '../measure.mjs'

export const { threads, seconds, build } = options()
export const rushlight = await import('../../dist/index.js')
export const who = `rushlight, ${build}`

await rushlight.init({ threads, wasm: build })

/**
 * Tokens a second of greedy decoding, without the prompt and the first token: the best of the runs that fit in `seconds`, at least
 * three. The prompt is computed once.
 */
export async function decodeRate(model, input_ids, tokens, seconds) {
  const options = { eos_token_id: null, return_dict_in_generate: true }
  const { sequences, past_key_values } = await model.generate({ input_ids, max_new_tokens: 1, ...options })
  sequences.dispose()
  let fastest = Infinity
  const until = performance.now() + seconds * 1000
  for (let runs = 0; runs < 3 || performance.now() < until; runs++) {
    past_key_values.crop(input_ids[0].length - 1)
    const times = []
    const streamer = { put: () => times.push(performance.now()), end() {} } // the prompt, then each new token
    const call = { input_ids, past_key_values, max_new_tokens: tokens + 1, streamer, ...options }
    const { sequences } = await model.generate(call)
    sequences.dispose()
    if (times.length !== tokens + 2) throw new Error(`expected ${tokens + 1} new tokens, found ${times.length - 1}`)
    fastest = Math.min(fastest, times.at(-1) - times[1])
  }
  past_key_values.dispose()
  return (tokens / fastest) * 1000
}
