// Logits processors: each changes one row of scores in place, in Python's order. A token that is ruled out becomes -Infinity.
import type { GenerationConfig } from './config.ts'

/** What a processor knows of the row beside its ids. */
export interface Row {
  /** How many of the first ids are padding. */
  padding: number
  /** Which prompt of the batch it continues. */
  index: number
}

/** Changes the scores of the next token, given the ids so far. Anything that it returns takes the scores' place. */
// biome-ignore lint/suspicious/noConfusingVoidType: a processor that returns nothing has changed the scores in place
export type LogitsProcessor = (scores: Float32Array, ids: readonly number[], row?: Row) => Float32Array | void

const OUT = Number.NEGATIVE_INFINITY

/**
 * Scores of tokens that occurred are divided (or multiplied, when negative) by the penalty (Keskar et al. 2019). Padding in front
 * has not occurred, unless a real token is the same.
 */
export function repetitionPenalty(penalty: number): LogitsProcessor {
  return (scores, ids, row) => {
    for (const id of new Set(ids.slice(row?.padding ?? 0)))
      scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty
  }
}

/** Scores of the prompt's tokens are raised by the penalty. */
export function encoderRepetitionPenalty(penalty: number, prompts: readonly (readonly number[])[]): LogitsProcessor {
  return (scores, _ids, row) => {
    for (const id of new Set(prompts[row?.index ?? 0]))
      scores[id] = scores[id] < 0 ? scores[id] / penalty : scores[id] * penalty
  }
}

/** No run of `size` tokens comes twice. */
export function noRepeatNgram(size: number): LogitsProcessor {
  return (scores, ids) => ruleOut(scores, followers(ids, ids, size))
}

/** No run of `size` tokens of the prompt comes again. */
export function encoderNoRepeatNgram(size: number, prompts: readonly (readonly number[])[]): LogitsProcessor {
  return (scores, ids, row) => ruleOut(scores, followers(prompts[row?.index ?? 0], ids, size))
}

/** What follows in `text` where the last size - 1 of `ids` stand in it. */
function followers(text: readonly number[], ids: readonly number[], size: number): number[] {
  const prefix = ids.slice(ids.length + 1 - size)
  if (ids.length + 1 < size) return []
  const found: number[] = []
  for (let end = size - 1; end < text.length; end++)
    if (prefix.every((id, i) => text[end - size + 1 + i] === id)) found.push(text[end])
  return found
}

function ruleOut(scores: Float32Array, ids: Iterable<number>): void {
  for (const id of ids) scores[id] = OUT
}

/** Adds a bias to the last token of a sequence where the others stand before it. */
export function sequenceBias(biases: readonly (readonly [ids: readonly number[], bias: number])[]): LogitsProcessor {
  return (scores, ids) => {
    const before = scores.slice()
    for (const [sequence, bias] of biases) {
      const last = sequence[sequence.length - 1]
      const at = ids.length - sequence.length + 1
      if (at >= 0 && sequence.slice(0, -1).every((id, i) => ids[at + i] === id))
        scores[last] = bias === OUT || before[last] === OUT ? OUT : scores[last] + bias
    }
  }
}

/** No end before `length` tokens in all. */
export function minLength(length: number, eos: readonly number[]): LogitsProcessor {
  return (scores, ids) => {
    if (ids.length < length) ruleOut(scores, eos)
  }
}

/** Only these tokens (transformers.PrefixConstrainedLogitsProcessor). */
export function prefixConstrained(
  allowed: (batch_id: number, ids: readonly number[]) => Iterable<number>,
): LogitsProcessor {
  return (scores, ids, row) => {
    const kept = new Map<number, number>()
    for (const id of allowed(row?.index ?? 0, ids)) kept.set(id, scores[id])
    scores.fill(OUT)
    for (const [id, score] of kept) scores[id] = score
  }
}

/** One of these tokens, where there are `at` tokens so far. */
export function forced(tokens: readonly number[], at: number): LogitsProcessor {
  return (scores, ids) => {
    if (ids.length !== at) return
    scores.fill(OUT)
    for (const id of tokens) scores[id] = 0
  }
}

/** NaN becomes 0, infinities the largest numbers. */
export function removeInvalid(): LogitsProcessor {
  const most = 3.4028234663852886e38
  return (scores) => {
    for (let i = 0; i < scores.length; i++)
      scores[i] = Number.isNaN(scores[i]) ? 0 : Math.max(-most, Math.min(most, scores[i]))
  }
}

/** From `start` tokens on, the end's score grows by the factor to the power of how many there are more. */
export function exponentialDecay(start: number, factor: number, eos: readonly number[]): LogitsProcessor {
  return (scores, ids) => {
    if (ids.length <= start) return
    for (const id of eos)
      if (Number.isFinite(scores[id])) scores[id] += Math.abs(scores[id]) * (factor ** (ids.length - start) - 1)
  }
}

export function suppress(tokens: readonly number[]): LogitsProcessor {
  return (scores) => ruleOut(scores, tokens)
}

export function suppressAt(tokens: readonly number[], at: number): LogitsProcessor {
  return (scores, ids) => {
    if (ids.length === at) ruleOut(scores, tokens)
  }
}

export function temperature(value: number): LogitsProcessor {
  return (scores) => {
    for (let i = 0; i < scores.length; i++) scores[i] /= value
  }
}

/** The likeliest tokens whose entropy terms stay within a share of the entropy of the hundred likeliest. */
export function topH(share: number): LogitsProcessor {
  return (scores) => {
    const best = Array.from(scores.keys())
      .sort((a, b) => scores[b] - scores[a])
      .slice(0, 100)
    const probabilities = softmax(Float32Array.from(best, (i) => scores[i]))
    const terms = Array.from(probabilities, (p) => (p === 0 ? 0 : -p * Math.log(p)))
    const most = share * terms.reduce((sum, term) => sum + term, 0)
    let sum = 0
    const kept = best.filter((_, i) => (sum += terms[i]) <= most || i === 0)
    const values = kept.map((i) => scores[i])
    scores.fill(OUT)
    for (const [i, id] of kept.entries()) scores[id] = values[i]
  }
}

/** Only the k best, and those equal to the last of them. */
export function topK(k: number): LogitsProcessor {
  return (scores) => {
    if (k >= scores.length) return
    const threshold = kthLargest(scores, k)
    for (let i = 0; i < scores.length; i++) if (scores[i] < threshold) scores[i] = OUT
  }
}

/** The k-th largest score, by a heap of k: one pass over the vocabulary. */
function kthLargest(scores: Float32Array, k: number): number {
  const heap = new Float32Array(k).fill(OUT) // smallest on top
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

/** The most probable tokens whose probabilities reach p together, at least `keep` (Holtzman et al. 2019). */
export function topP(p: number, keep = 1): LogitsProcessor {
  return (scores) => {
    const probabilities = softmax(scores)
    // Tokens below (1-p)/V sum to less than 1-p, so all of them go: only the others need sorting.
    const negligible = (1 - p) / scores.length
    const candidates: number[] = []
    const others: number[] = []
    let mass = 0 // of what is ruled out, smallest first
    for (let i = 0; i < scores.length; i++) {
      if (probabilities[i] > negligible) candidates.push(i)
      else {
        mass += probabilities[i]
        others.push(i)
      }
    }
    candidates.sort((a, b) => probabilities[a] - probabilities[b])
    const spared = keep > candidates.length ? mostOf(others, probabilities, keep - candidates.length) : []
    for (const i of others) if (!spared.includes(i)) scores[i] = OUT
    for (const i of candidates.slice(0, Math.max(0, candidates.length - keep))) {
      mass += probabilities[i]
      if (mass > 1 - p) break
      scores[i] = OUT
    }
  }
}

/** The n of these tokens that are most probable. */
function mostOf(tokens: readonly number[], probabilities: Float64Array, n: number): number[] {
  return [...tokens].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, n)
}

/** Rules out what does not pass, but for the `keep` best. */
function ruleOutBut(scores: Float32Array, keep: number, passes: (i: number) => boolean): void {
  const least = kthLargest(scores, Math.min(keep, scores.length))
  for (let i = 0; i < scores.length; i++) if (scores[i] < least && !passes(i)) scores[i] = OUT
}

/** Only tokens at least `p` times as probable as the best (Nguyen et al. 2024). */
export function minP(p: number, keep = 1): LogitsProcessor {
  return (scores) => {
    const least = Math.log(p) + largest(scores)
    ruleOutBut(scores, keep, (i) => scores[i] >= least)
  }
}

/** The tokens whose information is nearest to the expected, until their probabilities reach p (Meister et al. 2022). */
export function typicalP(p: number, keep = 1): LogitsProcessor {
  return (scores) => {
    const logs = logSoftmax(scores)
    let entropy = 0
    for (const log of logs) if (log !== OUT) entropy -= log * Math.exp(log)
    const distance = logs.map((log) => Math.abs(-log - entropy))
    const order = Array.from(distance.keys()).sort((a, b) => distance[a] - distance[b])
    let mass = 0
    let last = 0
    for (; last < order.length - 1; last++) if ((mass += Math.exp(logs[order[last]])) >= p) break
    const most = distance[order[last]]
    for (const i of order.slice(keep)) if (distance[i] > most) scores[i] = OUT
  }
}

/** Only tokens at least so probable (Hewitt et al. 2022). */
export function epsilonCutoff(epsilon: number, keep = 1): LogitsProcessor {
  return (scores) => {
    const probabilities = softmax(scores)
    ruleOutBut(scores, keep, (i) => probabilities[i] >= epsilon)
  }
}

/** The same, less strict where much is possible (Hewitt et al. 2022). */
export function etaCutoff(epsilon: number, keep = 1): LogitsProcessor {
  return (scores) => {
    const probabilities = softmax(scores)
    let entropy = 0
    for (const p of probabilities) if (p > 0) entropy -= p * Math.log(p)
    const eta = Math.min(epsilon, Math.sqrt(epsilon) * Math.exp(-entropy))
    ruleOutBut(scores, keep, (i) => probabilities[i] >= eta)
  }
}

/** Scores as logarithms of probabilities. */
export function renormalize(): LogitsProcessor {
  return (scores) => scores.set(logSoftmax(scores))
}

function largest(scores: Float32Array): number {
  let most = OUT
  for (const score of scores) if (score > most) most = score
  return most
}

/** Probabilities of scores. */
export function softmax(scores: Float32Array): Float64Array {
  const most = largest(scores)
  const out = new Float64Array(scores.length)
  let sum = 0
  for (let i = 0; i < out.length; i++) sum += out[i] = Math.exp(scores[i] - most)
  for (let i = 0; i < out.length; i++) out[i] /= sum
  return out
}

/** Logarithms of the probabilities of scores. */
export function logSoftmax(scores: Float32Array): Float64Array {
  const most = largest(scores)
  let sum = 0
  for (const score of scores) sum += Math.exp(score - most)
  const shift = most + Math.log(sum)
  return Float64Array.from(scores, (score) => score - shift)
}

/** What a chain of processors is made for. */
export interface Chain {
  /** Prompts, and their length with padding. */
  prompts: readonly (readonly number[])[]
  prompt: number
  /** Tokens in all. */
  limit: number
  eos: readonly number[]
  /** The caller's own, behind those that rule out and in front of those of sampling, as in Python. */
  own?: readonly LogitsProcessor[]
  prefix_allowed_tokens_fn?: (batch_id: number, ids: readonly number[]) => Iterable<number>
}

/** The processors that a config asks for, in Python's order. */
export function processorsOf(config: GenerationConfig, chain: Chain): LogitsProcessor[] {
  const { prompts, prompt, limit, eos } = chain
  const list: LogitsProcessor[] = []
  const add = (wanted: unknown, make: () => LogitsProcessor) => {
    if (wanted) list.push(make())
  }
  const { no_repeat_ngram_size: ngram, encoder_no_repeat_ngram_size: encoderNgram } = config
  if (config.sequence_bias) list.push(sequenceBias(config.sequence_bias))
  add(config.encoder_repetition_penalty !== 1, () =>
    encoderRepetitionPenalty(config.encoder_repetition_penalty, prompts),
  )
  add(config.repetition_penalty !== 1, () => repetitionPenalty(config.repetition_penalty))
  add(ngram > 0, () => noRepeatNgram(ngram))
  add(encoderNgram > 0, () => encoderNoRepeatNgram(encoderNgram, prompts))
  if (config.bad_words_ids) {
    const words = config.bad_words_ids.filter((word) => !(word.length === 1 && eos.includes(word[0])))
    list.push(sequenceBias(words.map((word) => [word, OUT])))
  }
  const least = config.min_new_tokens === null ? config.min_length : prompt + config.min_new_tokens
  add(least > 0 && eos.length > 0, () => minLength(least, eos))
  const { prefix_allowed_tokens_fn } = chain
  if (prefix_allowed_tokens_fn) list.push(prefixConstrained(prefix_allowed_tokens_fn))
  if (config.forced_bos_token_id !== null) list.push(forced([config.forced_bos_token_id], 1))
  if (config.forced_eos_token_id !== null) list.push(forced([config.forced_eos_token_id].flat(), limit - 1))
  add(config.remove_invalid_values, removeInvalid)
  if (config.exponential_decay_length_penalty) {
    const [start, factor] = config.exponential_decay_length_penalty
    list.push(exponentialDecay(prompt + start, factor, eos))
  }
  if (config.suppress_tokens) list.push(suppress(config.suppress_tokens))
  if (config.begin_suppress_tokens)
    list.push(
      suppressAt(config.begin_suppress_tokens, prompt > 1 || config.forced_bos_token_id === null ? prompt : prompt + 1),
    )
  list.push(...(chain.own ?? []))
  if (config.do_sample) list.push(...warpersOf(config, eos))
  add(config.renormalize_logits, renormalize)
  return list
}

/** What narrows sampling. Beams need more than an end to go on with. */
function warpersOf(config: GenerationConfig, eos: readonly number[]): LogitsProcessor[] {
  const keep = config.num_beams > 1 ? Math.max(eos.length + 1, 2) : 1
  const list: LogitsProcessor[] = []
  if (config.temperature !== 1) list.push(temperature(config.temperature))
  if (config.top_h !== null) list.push(topH(config.top_h))
  if (config.top_k) list.push(topK(Math.max(config.top_k, keep)))
  if (config.top_p < 1) list.push(topP(config.top_p, keep))
  if (config.min_p !== null) list.push(minP(config.min_p, keep))
  if (config.typical_p < 1) list.push(typicalP(config.typical_p, keep))
  if (config.epsilon_cutoff > 0) list.push(epsilonCutoff(config.epsilon_cutoff, keep))
  if (config.eta_cutoff > 0) list.push(etaCutoff(config.eta_cutoff, keep))
  return list
}
