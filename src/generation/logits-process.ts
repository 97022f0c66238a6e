// Logits processors: each changes one row of scores in place, in Python's order. A token that is ruled out becomes -Infinity.
import type { GenerationConfig } from './config.ts'

/** Changes the scores of the next token, given the ids so far and how many of them are padding on the left. */
export type LogitsProcessor = (scores: Float32Array, ids: readonly number[], padding?: number) => void

/** Scores of tokens that occurred are divided (or multiplied, when negative) by the penalty (Keskar et al. 2019). Padding did not occur. */
export function repetitionPenalty(penalty: number): LogitsProcessor {
  return (scores, ids, padding = 0) => {
    for (const id of new Set(ids.slice(padding)))
      scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty
  }
}

/** No end before `length` tokens in all. */
export function minLength(length: number, eos: readonly number[]): LogitsProcessor {
  return (scores, ids) => {
    if (ids.length < length) for (const id of eos) scores[id] = Number.NEGATIVE_INFINITY
  }
}

export function temperature(value: number): LogitsProcessor {
  return (scores) => {
    for (let i = 0; i < scores.length; i++) scores[i] /= value
  }
}

/** Only the k best, and those equal to the last of them. */
export function topK(k: number): LogitsProcessor {
  return (scores) => {
    if (k >= scores.length) return
    const threshold = kthLargest(scores, k)
    for (let i = 0; i < scores.length; i++) if (scores[i] < threshold) scores[i] = Number.NEGATIVE_INFINITY
  }
}

/** The k-th largest score, by a heap of k: one pass over the vocabulary. */
function kthLargest(scores: Float32Array, k: number): number {
  const heap = new Float32Array(k).fill(Number.NEGATIVE_INFINITY) // smallest on top
  for (const score of scores) {
    if (!(score > heap[0])) continue
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= k) break
      if (child + 1 < k && heap[child + 1] < heap[child]) child++
      if (heap[child] >= score) break
      heap[at] = heap[child]
      at = child
    }
    heap[at] = score
  }
  return heap[0]
}

/** The most probable tokens whose probabilities reach p together, at least one (Holtzman et al. 2019). */
export function topP(p: number): LogitsProcessor {
  return (scores) => {
    const probabilities = softmax(scores)
    // Tokens below (1-p)/V sum to less than 1-p, so all of them go: only the others need sorting.
    const negligible = (1 - p) / scores.length
    const candidates: number[] = []
    let mass = 0 // of what is ruled out, smallest first
    for (let i = 0; i < scores.length; i++) {
      if (probabilities[i] > negligible) candidates.push(i)
      else {
        mass += probabilities[i]
        scores[i] = Number.NEGATIVE_INFINITY
      }
    }
    candidates.sort((a, b) => probabilities[a] - probabilities[b])
    for (const i of candidates.slice(0, -1)) {
      mass += probabilities[i]
      if (mass > 1 - p) break
      scores[i] = Number.NEGATIVE_INFINITY
    }
  }
}

/** Only tokens at least `p` times as probable as the best (Nguyen et al. 2024). */
export function minP(p: number): LogitsProcessor {
  return (scores) => {
    const least = Math.log(p) + scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
    for (let i = 0; i < scores.length; i++) if (scores[i] < least) scores[i] = Number.NEGATIVE_INFINITY
  }
}

/** Probabilities of scores. */
export function softmax(scores: Float32Array): Float64Array {
  let max = Number.NEGATIVE_INFINITY
  for (const score of scores) if (score > max) max = score
  const out = new Float64Array(scores.length)
  let sum = 0
  for (let i = 0; i < out.length; i++) sum += out[i] = Math.exp(scores[i] - max)
  for (let i = 0; i < out.length; i++) out[i] /= sum
  return out
}

/** The processors that a config asks for, in Python's order. `prompt` is the length of the prompt. */
export function processorsOf(config: GenerationConfig, prompt: number, eos: readonly number[]): LogitsProcessor[] {
  const processors: LogitsProcessor[] = []
  if (config.repetition_penalty !== 1) processors.push(repetitionPenalty(config.repetition_penalty))
  const least = Math.max(config.min_length, config.min_new_tokens === null ? 0 : prompt + config.min_new_tokens)
  if (least > 0 && eos.length > 0) processors.push(minLength(least, eos))
  if (!config.do_sample) return processors
  if (config.temperature !== 1) processors.push(temperature(config.temperature))
  if (config.top_k) processors.push(topK(config.top_k))
  if (config.top_p < 1) processors.push(topP(config.top_p))
  if (config.min_p !== null) processors.push(minP(config.min_p))
  return processors
}
