// The model, one step at a time: it holds the rows of ids, what of them the model has seen, and gives the logits that come next.
import type { Cache } from '../models/cache.ts'
import type { CausalInputs } from '../models/decoder.ts'
import type { PreTrainedConfig } from '../models/config.ts'
import type { ModelClass, PreTrainedModel } from '../models/model.ts'
import type { CausalLMOutput } from '../models/outputs.ts'
import { cat } from '../ops/movement.ts'
import { no_grad } from '../tensor/autograd.ts'
import { keep, tidy } from '../tensor/scope.ts'
import { Tensor } from '../tensor/tensor.ts'

/** A model that generates. */
export type CausalLM = PreTrainedModel<PreTrainedConfig, [inputs: CausalInputs], CausalLMOutput>

/** What a step gives beside logits, where it is asked for. */
export interface Extras {
  hidden_states: Tensor[][]
  attentions: Tensor[][]
}

export interface StepperOptions {
  /** Ids of each row, all of one length. */
  rows: number[][]
  /** 1 for tokens and 0 for padding: of what stands in front of the ids too. */
  masks: number[][]
  /** null computes everything anew at each step. */
  cache: Cache | null
  /** (B,S,H): stands in front of the ids. */
  inputs_embeds?: Tensor | null
  output_hidden_states?: boolean
  output_attentions?: boolean
}

export class Stepper {
  readonly rows: number[][]
  readonly masks: number[][]
  readonly cache: Cache | null
  readonly extras: Extras = { hidden_states: [], attentions: [] }
  private readonly embeds: Tensor | null

  constructor(
    readonly model: CausalLM,
    private readonly options: StepperOptions,
  ) {
    this.rows = options.rows.map((row) => [...row])
    this.masks = options.masks.map((mask) => [...mask])
    this.cache = options.cache
    this.embeds = options.inputs_embeds ?? null
  }

  /** Positions so far. */
  get length(): number {
    return this.rows[0].length + this.lead
  }

  private get lead(): number {
    return this.embeds?.shape[1] ?? 0
  }

  /** Appends one id to each row. */
  push(ids: readonly number[]): void {
    ids.forEach((id, b) => {
      this.rows[b].push(id)
      this.masks[b].push(1)
    })
  }

  /** Row b goes on as row rows[b] was. */
  reorder(rows: readonly number[]): void {
    const [ids, masks] = [this.rows.map((row) => [...row]), this.masks.map((mask) => [...mask])]
    this.rows.splice(0, this.rows.length, ...rows.map((b) => [...ids[b]]))
    this.masks.splice(0, this.masks.length, ...rows.map((b) => [...masks[b]]))
    if (this.cache && this.cache.get_seq_length() > 0) this.cache.reorder_cache(rows)
  }

  /** Forgets what stands behind the first `length` positions. */
  crop(length: number): void {
    for (const row of this.rows) row.length = length - this.lead
    for (const mask of this.masks) mask.length = length
    if (this.cache && this.cache.get_seq_length() > length) this.cache.crop(length)
  }

  /** Logits of what comes behind the last position of each row: (B) of (V). */
  next(): Float32Array[] {
    return this.logits(1).map(([last]) => last)
  }

  /** Logits behind each of the last `count` positions: (B) of (count) of (V). */
  logits(count: number): Float32Array[][] {
    return no_grad(() => tidy(() => this.run(count)))
  }

  /** The likeliest id behind the last position of each row, where nothing else of the logits is needed. */
  best(): number[] {
    return no_grad(() =>
      tidy(() => {
        const last = this.forward(1) // (B,1,V)
        return last.select(1, 0).argmax(-1).tolist() as number[]
      }),
    )
  }

  private run(count: number): Float32Array[][] {
    const logits = this.forward(count) // (B,count,V)
    const [B, T, V] = logits.shape
    const data = logits.to('float32').data as Float32Array
    return Array.from({ length: B }, (_, b) =>
      Array.from({ length: T }, (_, t) => data.subarray((b * T + t) * V, (b * T + t + 1) * V)),
    )
  }

  /** Runs the model over what it has not seen. */
  private forward(count: number): Tensor {
    const { model, rows, masks, cache, length } = this
    const { supports_cache } = model.constructor as unknown as ModelClass
    if (cache && !model.keepsCache(cache.get_seq_length(), length)) cache.crop(0)
    const past = cache?.get_seq_length() ?? 0
    const B = rows.length
    const inputs: CausalInputs = {
      ...this.tokens(past),
      ...(supports_cache && { past_key_values: cache, logits_to_keep: count }),
      ...(this.options.output_hidden_states && { output_hidden_states: true }),
      ...(this.options.output_attentions && { output_attentions: true }),
    }
    if (masks.some((mask) => mask.includes(0))) {
      inputs.attention_mask = Tensor.from(masks.flat(), [B, length], 'int64')
      inputs.position_ids = Tensor.from(
        masks.flatMap((mask) => positions(mask).slice(past)),
        [B, length - past],
        'int64',
      )
    }
    const { logits, hidden_states, attentions } = model(inputs)
    if (hidden_states) this.extras.hidden_states.push(hidden_states.map((t) => keep(t.clone())))
    if (attentions) this.extras.attentions.push(attentions.map((t) => keep(t.clone())))
    return logits.shape[1] > count ? logits.slice(1, logits.shape[1] - count) : logits
  }

  /** What the model reads: ids, or embeddings with those of the ids behind them. */
  private tokens(past: number): Pick<CausalInputs, 'input_ids' | 'inputs_embeds'> {
    const { rows, embeds, lead } = this
    const from = Math.max(0, past - lead)
    const T = rows[0].length - from
    const ids = () =>
      Tensor.from(
        rows.flatMap((row) => row.slice(from)),
        [rows.length, T],
        'int64',
      )
    if (!embeds || past >= lead) return { input_ids: ids() }
    const behind = T > 0 ? [(this.model.get_input_embeddings() as unknown as (ids: Tensor) => Tensor)(ids())] : []
    return { inputs_embeds: cat([embeds.slice(1, past), ...behind], 1) }
  }
}

/** Places counted from the first token that is not padding. */
function positions(mask: readonly number[]): number[] {
  let next = 0
  return mask.map((m) => (m ? next++ : 0))
}
