// generate(): one loop for greedy search and sampling over a key-value cache, with left-padded batches.
import { DynamicCache } from '../models/cache.ts'
import { batch, type IntInput } from '../models/inputs.ts'
import type { CausalInputs } from '../models/decoder.ts'
import type { CausalLMOutput } from '../models/outputs.ts'
import { type ModelClass, PreTrainedModel } from '../models/model.ts'
import { randomSeed } from '../ops/random.ts'
import { no_grad } from '../tensor/autograd.ts'
import { tidy } from '../tensor/scope.ts'
import { show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError, shown } from '../util/errors.ts'
import { SampleStream } from '../util/random.ts'
import { nextTurn } from '../util/turn.ts'
import { warn } from '../util/warn.ts'
import { ready } from '../wasm/index.ts'
import { GenerationConfig, splitRepositoryConfig } from './config.ts'
import { type LogitsProcessor, processorsOf, softmax } from './logits-process.ts'
import { checkStreamer, type Streamer } from './streamers.ts'

/** Inputs and options of generate(), in one object. */
export interface GenerateOptions extends Partial<GenerationConfig> {
  /** Prompts (B,T), padded on the left. */
  input_ids?: IntInput
  attention_mask?: IntInput | null
  generation_config?: Partial<GenerationConfig>
  streamer?: Streamer
  /** Ends generation with the signal's reason. */
  signal?: AbortSignal
}

type CausalLM = PreTrainedModel<PreTrainedModel['config'], [inputs: CausalInputs], CausalLMOutput>

const HINT = "Hint: generate({ ...tokenizer(text, { return_tensors: 'pt' }), max_new_tokens: 20 })"

/** One sequence of the batch. */
interface Sequence {
  ids: number[]
  /** How many of its first ids are padding. */
  padding: number
  done: boolean
}

/**
 * Continues prompts token by token (transformers' GenerationMixin.generate). Returns the prompts with what was generated,
 * int64 (B,T), sequences that ended early filled with the padding token.
 * @throws UnsupportedOptionError for an option that there is not, the signal's reason when it is aborted
 */
export async function generate(model: CausalLM, inputs: GenerateOptions, more: GenerateOptions = {}): Promise<Tensor> {
  if (typeof inputs !== 'object' || inputs === null || Array.isArray(inputs) || inputs instanceof Tensor)
    throw new RushlightError(
      `generate: expected an object, found ${inputs instanceof Tensor ? 'a tensor' : shown(inputs)}. ${HINT}`,
    )
  const { input_ids, attention_mask, generation_config, streamer, signal, ...options } = { ...inputs, ...more }
  const config = new GenerationConfig({ ...defaultsOf(model), ...generation_config, ...options })
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new RushlightError(`generate: signal: expected an AbortSignal, found ${shown(signal)}`)
  await ready()
  signal?.throwIfAborted()

  const eos = [config.eos_token_id ?? []].flat()
  const { rows, masks } = tidy(() => readPrompt(input_ids, attention_mask, config.pad_token_id, eos))
  const [B, T] = [rows.length, rows[0].length]
  checkStreamer(streamer, B)
  const pad = config.pad_token_id ?? eos[0] ?? 0
  const limit =
    config.max_new_tokens !== null ? T + config.max_new_tokens : (config.max_length ?? Number.POSITIVE_INFINITY)
  if (limit <= T)
    throw new RushlightError(
      `generate: the prompt has ${T} tokens already, max_length is ${limit}. Hint: max_new_tokens`,
    )

  const sequences: Sequence[] = rows.map((ids, b) => ({
    ids: [...ids],
    padding: Math.max(0, masks[b].indexOf(1)),
    done: false,
  }))
  const processors = processorsOf(config, T, eos)
  const random = config.do_sample ? new SampleStream(config.seed ?? randomSeed()) : null
  const { supports_cache } = model.constructor as unknown as ModelClass
  const cache = config.use_cache && supports_cache ? new DynamicCache() : null
  if (streamer) streamer.put(sequences[0].ids)
  try {
    for (let length = T; length < limit && sequences.some((s) => !s.done); length++) {
      const scores = no_grad(() => tidy(() => nextScores(model, sequences, masks, cache)))
      sequences.forEach((sequence, b) => {
        const id = sequence.done ? pad : choose(scores[b], sequence, processors, random)
        sequence.ids.push(id)
        masks[b].push(1)
        if (eos.includes(id)) sequence.done = true
      })
      streamer?.put(sequences[0].ids.slice(-1))
      await nextTurn()
      signal?.throwIfAborted()
    }
  } finally {
    cache?.dispose()
  }
  streamer?.end()
  return Tensor.from(
    sequences.flatMap((s) => s.ids),
    [B, sequences[0].ids.length],
    'int64',
  )
}

const warned = new WeakSet<PreTrainedModel>()

/** The repository's defaults. What there is not yet is warned of once, since it is not the caller who asked for it. */
function defaultsOf(model: PreTrainedModel): Record<string, unknown> {
  const { known, unknown } = splitRepositoryConfig(model.generation_config ?? {})
  if (unknown.length > 0 && !warned.has(model)) {
    warned.add(model)
    warn(`generation_config.json asks for what is not supported and left out: ${unknown.join(', ')}`)
  }
  return known
}

/** Scores of the next token of each sequence: the whole prompt at first, then the last token alone. */
function nextScores(
  model: CausalLM,
  sequences: Sequence[],
  masks: number[][],
  cache: DynamicCache | null,
): Float32Array[] {
  const B = sequences.length
  const length = sequences[0].ids.length
  if (cache && !model.keepsCache(cache.get_seq_length(), length)) cache.crop(0)
  const past = cache?.get_seq_length() ?? 0
  const T = length - past
  const padded = masks.some((mask) => mask.includes(0))
  const input_ids = Tensor.from(
    sequences.flatMap((s) => s.ids.slice(past)),
    [B, T],
    'int64',
  )
  const { supports_cache } = model.constructor as unknown as ModelClass
  const inputs: CausalInputs = { input_ids, ...(supports_cache && { past_key_values: cache, logits_to_keep: 1 }) }
  if (padded) {
    inputs.attention_mask = Tensor.from(masks.flat(), [B, length], 'int64')
    inputs.position_ids = Tensor.from(
      masks.flatMap((mask) => positions(mask).slice(past)),
      [B, T],
      'int64',
    )
  }
  const { logits } = model(inputs) // (B,1,V), or (B,T,V) of models that keep all
  const V = logits.shape[2]
  const last = logits.select(1, logits.shape[1] - 1).to('float32').data as Float32Array // (B,V)
  return sequences.map((_, b) => last.subarray(b * V, (b + 1) * V))
}

/** Places counted from the first token that is not padding. */
function positions(mask: readonly number[]): number[] {
  let next = 0
  return mask.map((m) => (m ? next++ : 0))
}

/**
 * The prompts, and which of their tokens count: as the mask says; without one, as in Python, padding tokens do not count where the
 * prompt has them and they are not the end token.
 */
function readPrompt(
  input_ids: IntInput | undefined,
  attention_mask: IntInput | null | undefined,
  pad: number | null,
  eos: number[],
): { rows: number[][]; masks: number[][] } {
  const prompt = batch('generate', 'input_ids', input_ids)
  if (!prompt) throw new RushlightError(`generate: input_ids are missing. ${HINT}`)
  if (prompt.numel() === 0) throw new RushlightError('generate: the prompt is empty. Hint: begin with the bos token')
  const rows = prompt.tolist() as number[][]
  const mask = batch('generate', 'attention_mask', attention_mask)
  if (mask) {
    if (show(mask.shape) !== show(prompt.shape))
      throw new RushlightError(
        `generate: attention_mask has shape ${show(mask.shape)}, expected that of input_ids, ${show(prompt.shape)}`,
      )
    return { rows, masks: mask.tolist() as number[][] }
  }
  const infer = pad !== null && !eos.includes(pad) && rows.some((row) => row.includes(pad))
  return { rows, masks: rows.map((row) => row.map((id) => (infer && id === pad ? 0 : 1))) }
}

function choose(
  scores: Float32Array,
  { ids, padding }: Sequence,
  processors: LogitsProcessor[],
  random: SampleStream | null,
): number {
  for (const process of processors) process(scores, ids, padding)
  return random ? random.pick(softmax(scores)) : argmax(scores)
}

function argmax(scores: Float32Array): number {
  let best = 0
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i
  return best
}

declare module '../models/model.ts' {
  interface PreTrainedModel {
    /** Defaults of generate(), from the repository. */
    generation_config?: Partial<GenerationConfig>
    /** Continues prompts: `generate({ ...inputs, ...options })` or `generate(inputs, options)`. See {@link generate}. */
    generate(inputs: GenerateOptions, options?: GenerateOptions): Promise<Tensor>
  }
}

PreTrainedModel.prototype.generate = function (this: PreTrainedModel, inputs, options) {
  return generate(this as unknown as CausalLM, inputs, options)
}
