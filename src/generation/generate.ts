// generate(): from prompts and options to a search over a model's tokens (transformers' GenerationMixin.generate).
import { type Cache, DynamicCache, QuantizedCache, type QuantizedCacheConfig, StaticCache } from '../models/cache.ts'
import { batch, type IntInput } from '../models/inputs.ts'
import { type ModelClass, PreTrainedModel } from '../models/model.ts'
import { randomSeed } from '../ops/random.ts'
import { tidy } from '../tensor/scope.ts'
import { show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import type { PreTrainedTokenizer } from '../tokenizers/tokenizer.ts'
import { checkOptions, RushlightError, shown, unsupported, UnsupportedOptionError } from '../util/errors.ts'
import { SampleStream } from '../util/random.ts'
import { nextTurn } from '../util/turn.ts'
import { warn, warnOnce } from '../util/warn.ts'
import { ready } from '../wasm/index.ts'
import { AssistantModel, assisted, type Drafter, PromptLookup } from './assisted.ts'
import { beamSearch } from './beam.ts'
import { GenerationConfig, splitRepositoryConfig, warnOfIdleFlags } from './config.ts'
import { Guidance } from './guidance.ts'
import { type LogitsProcessor, processorsOf } from './logits-process.ts'
import { filled, type GenerateOutput, stacked } from './output.ts'
import { type Search, sample } from './sample.ts'
import { type CausalLM, Stepper } from './stepper.ts'
import { criteriaOf, type StoppingCriteria } from './stopping-criteria.ts'
import { checkStreamer, type Streamer } from './streamers.ts'

/** Inputs and options of generate(), in one object. */
export interface GenerateOptions extends Partial<GenerationConfig> {
  /** Prompts (B,T), padded on the left. */
  input_ids?: IntInput
  attention_mask?: IntInput | null
  /** (B,S,H) in place of ids, or in front of them; without ids the result has the new tokens alone. */
  inputs_embeds?: Tensor | null
  /** What the model has seen of the prompt already: it goes on from there, and the cache stays the caller's. */
  past_key_values?: Cache | null
  generation_config?: Partial<GenerationConfig>
  /** Gets the prompt, then each token. */
  streamer?: Streamer
  /** Ends generation with the signal's reason. */
  signal?: AbortSignal
  /** For `stop_strings`. */
  tokenizer?: PreTrainedTokenizer
  /** Further processors, behind those that rule out and in front of those of sampling. */
  logits_processor?: readonly LogitsProcessor[]
  stopping_criteria?: readonly StoppingCriteria[]
  /** The ids that may come next, of prompt `batch_id` so far. */
  prefix_allowed_tokens_fn?: (batch_id: number, ids: readonly number[]) => Iterable<number>
  /** A smaller model with the same tokens, which drafts. */
  assistant_model?: PreTrainedModel
  /** For `guidance_scale`; by default the prompt's last token. */
  negative_prompt_ids?: IntInput
  negative_prompt_attention_mask?: IntInput | null
}

const HINT = "Hint: generate({ ...tokenizer(text, { return_tensors: 'pt' }), max_new_tokens: 20 })"
/** New tokens where nobody says how many. */
const DEFAULT_NEW = 20

/**
 * Continues prompts token by token. Returns the prompts with what was generated, int64 (B,T), sequences that ended early filled with
 * the padding token; with `return_dict_in_generate` a GenerateOutput.
 * @throws UnsupportedOptionError for an option that there is not, the signal's reason when it is aborted
 */
export async function generate(
  model: CausalLM,
  inputs: GenerateOptions,
  more: GenerateOptions = {},
): Promise<Tensor | GenerateOutput> {
  if (typeof inputs !== 'object' || inputs === null || Array.isArray(inputs) || inputs instanceof Tensor)
    throw new RushlightError(
      `generate: expected an object, found ${inputs instanceof Tensor ? 'a tensor' : shown(inputs)}. ${HINT}`,
    )
  const {
    input_ids,
    attention_mask,
    inputs_embeds = null,
    past_key_values = null,
    generation_config = {},
    streamer,
    signal,
    tokenizer,
    logits_processor,
    stopping_criteria,
    prefix_allowed_tokens_fn,
    assistant_model,
    negative_prompt_ids,
    negative_prompt_attention_mask,
    ...options
  } = { ...inputs, ...more }
  const said = { ...GenerationConfig.given(generation_config), ...options }
  const repository = defaultsOf(model)
  const config = new GenerationConfig({ ...repository, ...withoutUndefined(said) })
  warnOfIdleFlags(config, said)
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new RushlightError(`generate: signal: expected an AbortSignal, found ${shown(signal)}`)
  for (const [name, list] of Object.entries({ logits_processor, stopping_criteria }))
    if (list !== undefined && !(Array.isArray(list) && list.every((each) => typeof each === 'function')))
      throw new RushlightError(
        `generate: ${name}: expected a list of functions (scores, ids) => …, found ${shown(list)}`,
      )
  await ready()
  signal?.throwIfAborted()

  // ---- prompts
  const eos = [config.eos_token_id ?? []].flat()
  const { rows, masks } = tidy(() => readPrompt(input_ids, attention_mask, inputs_embeds, config.pad_token_id, eos))
  const T = masks[0].length
  const lead = inputs_embeds?.shape[1] ?? 0
  const limit = limitOf(config, T, model.config.max_position_embeddings)
  const pad = config.pad_token_id ?? eos[0] ?? 0
  const copies = config.num_beams > 1 ? config.num_beams : config.num_return_sequences
  const prompts = rows.flatMap((_, b) => new Array<number>(copies).fill(b))
  checkStreamer(streamer, prompts.length)

  // ---- what the search works with
  const cache = past_key_values ?? newCache(model, config, limit)
  const stepper = new Stepper(model, {
    rows,
    masks,
    cache,
    inputs_embeds,
    output_attentions: config.output_attentions,
    output_hidden_states: config.output_hidden_states,
  })
  if (past_key_values && past_key_values.get_seq_length() >= T)
    throw new RushlightError(
      `generate: past_key_values hold ${past_key_values.get_seq_length()} tokens, the prompt has ${T}. Hint: input_ids are the whole text, those of the cache included`,
    )
  stepper.reorder(prompts)
  const random = config.do_sample ? new SampleStream(config.seed ?? randomSeed()) : null
  const processors = processorsOf(config, {
    prompts: rows,
    prompt: T,
    limit,
    eos,
    own: logits_processor,
    prefix_allowed_tokens_fn,
  })
  const guidance =
    config.guidance_scale === null || config.guidance_scale === 1
      ? null
      : guide(model, config, prompts, rows, negative_prompt_ids, negative_prompt_attention_mask)
  const drafter = drafterOf(model, config, { assistant_model, rows, masks, processors, random, limit })
  const told = config.return_dict_in_generate
  const kept = { logits: [] as Tensor[], scores: [] as Tensor[] }
  const search: Search = {
    stepper,
    processors,
    criteria: criteriaOf(config, { eos, limit: limit - lead, tokenizer, own: stopping_criteria }),
    random,
    prompts,
    paddings: prompts.map((b) => Math.max(0, masks[b].indexOf(1))),
    pad,
    guidance,
    keep:
      told && (config.output_scores || config.output_logits)
        ? (logits, scores) => {
            if (config.output_logits) kept.logits.push(stacked(logits))
            if (config.output_scores) kept.scores.push(stacked(scores))
          }
        : null,
    cache,
    async tell([ids]) {
      streamer?.put(ids)
      await nextTurn()
      signal?.throwIfAborted()
    },
  }

  // ---- the search
  let ours = past_key_values === null // whether the cache is to be given back
  const output: Omit<GenerateOutput, 'sequences'> = {}
  let sequences: number[][] = stepper.rows
  try {
    streamer?.put(rows[0])
    if (config.num_beams > 1) {
      const found = await beamSearch(search, config, { eos, limit })
      sequences = found.sequences
      if (told) {
        output.beam_indices = filled(found.rows, -1)
        if (config.output_scores) output.sequences_scores = Tensor.from(found.scores, [found.scores.length], 'float32')
      }
    } else if (drafter) await assisted(search, drafter, limit)
    else await sample(search)
    streamer?.end()
    if (told && cache) {
      output.past_key_values = cache
      ours = false
    }
  } finally {
    if (ours) cache?.dispose()
    guidance?.dispose()
    drafter?.dispose()
  }
  // Beams are filled as Python's are, which takes a padding token of 0 for none.
  const result = filled(sequences, config.num_beams > 1 ? pad || (eos[0] ?? pad) : pad)
  if (!told) return result
  const { hidden_states, attentions } = stepper.extras
  return {
    sequences: result,
    ...(config.output_scores && { scores: kept.scores }),
    ...(config.output_logits && { logits: kept.logits }),
    ...(config.output_hidden_states && { hidden_states }),
    ...(config.output_attentions && { attentions }),
    ...output,
  }
}

/** Tokens in all that a call may come to. */
function limitOf(config: GenerationConfig, prompt: number, positions: unknown): number {
  const { max_length, max_new_tokens } = config
  const most = typeof positions === 'number' ? positions : Number.POSITIVE_INFINITY
  const limit =
    max_new_tokens !== null
      ? prompt + max_new_tokens
      : (max_length ?? Math.max(prompt + 1, Math.min(prompt + DEFAULT_NEW, most)))
  if (limit <= prompt)
    throw new RushlightError(
      `generate: the prompt has ${prompt} tokens already, max_length is ${limit}. Hint: max_new_tokens`,
    )
  if (prompt >= most)
    warnOnce(`generate: the prompt has ${prompt} tokens, the model knows ${most} positions; what comes may be nonsense`)
  return limit
}

const warned = new WeakSet<PreTrainedModel>()

/** The repository's defaults. What there is not is warned of once, since it is not the caller who asked for it. */
function defaultsOf(model: PreTrainedModel): Record<string, unknown> {
  const given = GenerationConfig.given(model.generation_config ?? {})
  const { known, unknown } = splitRepositoryConfig(given)
  if (unknown.length > 0 && !warned.has(model)) {
    warned.add(model)
    warn(`generation_config.json asks for what is not supported and left out: ${unknown.join(', ')}`)
  }
  return known
}

function withoutUndefined(values: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}

const CACHES = ['dynamic', 'static', 'quantized']
/** Older names of the static cache. */
const STATIC = ['sliding_window', 'hybrid', 'hybrid_chunked']

function newCache(model: CausalLM, config: GenerationConfig, limit: number): Cache | null {
  const { cache_implementation: kind, cache_config } = config
  if (kind !== null && ![...CACHES, ...STATIC].includes(kind))
    throw unsupported('generate', 'cache_implementation', kind, CACHES)
  const { supports_cache } = model.constructor as unknown as ModelClass
  if (!config.use_cache || !supports_cache) return null
  if (kind === 'quantized') return new QuantizedCache(quantizedConfig(cache_config ?? {}))
  if (kind === null || kind === 'dynamic') return new DynamicCache()
  return new StaticCache({ max_cache_len: Math.max(limit, config.max_cache_len ?? 0) })
}

function quantizedConfig(given: Readonly<Record<string, unknown>>): QuantizedCacheConfig {
  const known = [
    'backend',
    'nbits',
    'axis_key',
    'axis_value',
    'q_group_size',
    'residual_length',
    'compute_dtype',
    'device',
  ]
  checkOptions('cache_config', given, known)
  const { nbits = 4, axis_key = 0, axis_value = 0, q_group_size = 64, residual_length = 128 } = given
  if (nbits !== 4 && nbits !== 8) throw unsupported('cache_config', 'nbits', nbits, [4, 8])
  for (const [name, axis] of Object.entries({ axis_key, axis_value }))
    if (axis !== 0 && axis !== -1) throw unsupported('cache_config', name, axis, [0, -1])
  for (const [name, value] of Object.entries({ q_group_size, residual_length }))
    if (!(Number.isSafeInteger(value) && (value as number) > 0))
      throw new RushlightError(`cache_config: ${name}: expected a whole number from 1 up, found ${shown(value)}`)
  return { nbits, q_group_size: q_group_size as number, residual_length: residual_length as number }
}

/** A second stepper over the negative prompts. */
function guide(
  model: CausalLM,
  config: GenerationConfig,
  prompts: readonly number[],
  rows: readonly number[][],
  ids: IntInput | undefined,
  mask: IntInput | null | undefined,
): Guidance {
  if (config.num_beams > 1) throw unsupported('generate', 'num_beams with guidance_scale', config.num_beams, [1])
  const given = tidy(() => batch('generate', 'negative_prompt_ids', ids)?.tolist()) as number[][] | undefined
  const negative = given ?? rows.map((row) => row.slice(-1))
  if (negative.length !== rows.length)
    throw new RushlightError(`generate: negative_prompt_ids has ${negative.length} rows, expected ${rows.length}`)
  const masks = tidy(() => batch('generate', 'negative_prompt_attention_mask', mask)?.tolist()) as
    | number[][]
    | undefined
  const stepper = new Stepper(model, {
    rows: prompts.map((b) => negative[b]),
    masks: prompts.map((b) => masks?.[b] ?? negative[b].map(() => 1)),
    cache: config.use_cache ? new DynamicCache() : null,
  })
  return new Guidance(stepper, config.guidance_scale as number)
}

interface Drafting {
  assistant_model?: PreTrainedModel
  rows: number[][]
  masks: number[][]
  processors: LogitsProcessor[]
  random: SampleStream | null
  limit: number
}

function drafterOf(
  model: CausalLM,
  config: GenerationConfig,
  { assistant_model, rows, masks, processors, random }: Drafting,
): Drafter | null {
  const { prompt_lookup_num_tokens: lookup } = config
  if (!assistant_model && lookup === null) return null
  const what = assistant_model ? 'assistant_model' : 'prompt_lookup_num_tokens'
  if (rows.length > 1 || config.num_return_sequences > 1 || config.num_beams > 1 || config.guidance_scale !== null)
    throw new UnsupportedOptionError(
      `generate: ${what} works on one sequence, without beams and guidance, found a batch of ${rows.length}`,
    )
  if (config.cache_implementation === 'quantized')
    throw unsupported('generate', `cache_implementation with ${what}`, 'quantized', ['dynamic', 'static'])
  if (!assistant_model) return new PromptLookup(lookup as number, config.max_matching_ngram_size ?? 2)
  const { vocab_size } = model.config
  if (assistant_model.config.vocab_size !== vocab_size)
    throw new RushlightError(
      `generate: assistant_model has ${assistant_model.config.vocab_size} tokens, the model ${vocab_size}. Hint: both must have the same tokenizer`,
    )
  const assistant = assistant_model as unknown as CausalLM
  const stepper = new Stepper(assistant, { rows, masks, cache: new DynamicCache() })
  return new AssistantModel(stepper, config, processors, random)
}

/**
 * The prompts, and which of their tokens count: as the mask says; without one, as in Python, padding tokens do not count where the
 * prompt has them and they are not the end token.
 */
function readPrompt(
  input_ids: IntInput | undefined,
  attention_mask: IntInput | null | undefined,
  embeds: Tensor | null,
  pad: number | null,
  eos: number[],
): { rows: number[][]; masks: number[][] } {
  const prompt = batch('generate', 'input_ids', input_ids)
  if (!prompt && !embeds) throw new RushlightError(`generate: input_ids are missing. ${HINT}`)
  if ((prompt && prompt.numel() === 0) || embeds?.numel() === 0)
    throw new RushlightError('generate: the prompt is empty. Hint: begin with the bos token')
  if (embeds && (embeds.ndim !== 3 || (prompt && embeds.shape[0] !== prompt.shape[0])))
    throw new RushlightError(`generate: inputs_embeds must be (batch, length, width), found ${show(embeds.shape)}`)
  const lead = embeds?.shape[1] ?? 0
  const rows = prompt ? (prompt.tolist() as number[][]) : Array.from({ length: embeds!.shape[0] }, () => [])
  const expected = [rows.length, lead + rows[0].length]
  const mask = batch('generate', 'attention_mask', attention_mask)
  if (mask) {
    if (show(mask.shape) !== show(expected))
      throw new RushlightError(
        `generate: attention_mask has shape ${show(mask.shape)}, expected that of the prompt, ${show(expected)}`,
      )
    return { rows, masks: mask.tolist() as number[][] }
  }
  const infer = pad !== null && !eos.includes(pad) && rows.some((row) => row.includes(pad))
  const ahead = new Array<number>(lead).fill(1)
  return { rows, masks: rows.map((row) => [...ahead, ...row.map((id) => (infer && id === pad ? 0 : 1))]) }
}

declare module '../models/model.ts' {
  interface PreTrainedModel {
    /** Defaults of generate(), from the repository. */
    generation_config?: Partial<GenerationConfig>
    /** Continues prompts: `generate({ ...inputs, ...options })` or `generate(inputs, options)`. See {@link generate}. */
    generate(
      inputs: GenerateOptions & { return_dict_in_generate: true },
      options?: GenerateOptions,
    ): Promise<GenerateOutput>
    generate(
      inputs: GenerateOptions,
      options: GenerateOptions & { return_dict_in_generate: true },
    ): Promise<GenerateOutput>
    generate(inputs: GenerateOptions, options?: GenerateOptions): Promise<Tensor>
    /** Logarithms of the probabilities that generated tokens were chosen with. See {@link transitionScores}. */
    compute_transition_scores(
      sequences: Tensor,
      scores: readonly Tensor[],
      beam_indices?: Tensor | null,
      normalize_logits?: boolean,
    ): Tensor
  }
}

PreTrainedModel.prototype.generate = function (
  this: PreTrainedModel,
  inputs: GenerateOptions,
  options?: GenerateOptions,
) {
  return generate(this as unknown as CausalLM, inputs, options) as Promise<never>
}
PreTrainedModel.prototype.compute_transition_scores = (sequences, scores, beam_indices, normalize_logits) =>
  transitionScores(sequences, scores, beam_indices, normalize_logits)

/**
 * The score of each generated token, (rows, new tokens): those of `scores`, or logarithms of probabilities with `normalize_logits`.
 * With beams, of the row that each was chosen in; 0 behind the end (transformers' compute_transition_scores).
 */
export function transitionScores(
  sequences: Tensor,
  scores: readonly Tensor[],
  beam_indices: Tensor | null = null,
  normalize_logits = false,
): Tensor {
  return tidy(() => {
    const rows = sequences.tolist() as number[][]
    const beams = beam_indices?.tolist() as number[][] | undefined
    const count = beams ? Math.max(...beams.map((row) => row.filter((b) => b >= 0).length)) : scores.length
    const start = rows[0].length - (beams ? count : scores.length)
    const steps = scores.map((step) => (normalize_logits ? step.log_softmax(-1) : step).tolist() as number[][])
    const data = rows.flatMap((ids, r) =>
      Array.from({ length: count }, (_, t) => {
        const row = beams ? beams[r][t] : r
        return row < 0 ? 0 : steps[t][row][ids[start + t]]
      }),
    )
    return Tensor.from(data, [rows.length, count], 'float32')
  })
}
