// What decoders with a mixture of experts share (Shazeer et al. 2017, Fedus et al. 2021): routing, the experts' work, the balancing loss.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import { Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import { cat } from '../ops/movement.ts'
import { is_grad_enabled } from '../tensor/autograd.ts'
import { keep } from '../tensor/scope.ts'
import { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import type { Context } from './attention.ts'
import type { CausalInputs, DecoderInputs } from './decoder.ts'
import { batch } from './inputs.ts'
import { LlamaDecoderLayer, LlamaForCausalLM, LlamaMLP, LlamaModel, type LlamaShape } from './llama.ts'
import type { BaseModelOutput, CausalLMOutput } from './outputs.ts'

/** What the parts below need of a config. */
export interface MoeShape extends LlamaShape {
  readonly num_experts: number
  readonly num_experts_per_tok: number
  /** Whether the chosen experts' shares are made to sum to 1. */
  readonly norm_topk_prob: boolean
  readonly output_router_logits: boolean
  readonly router_aux_loss_coef: number
}

/** A router. Few weights that decide much: a class of its own, it stays as it is where Linears are rounded to blocks. */
class Router extends Linear {}

/** Sends each token to its likeliest experts, and sums what they make of it by their shares. */
export class SparseMoe extends Module<[x: Tensor, context?: Context], Tensor> {
  gate: Router
  experts: ModuleList<LlamaMLP>
  private readonly perToken: number
  private readonly normalized: boolean

  /** @param intermediate_size width of each expert */
  constructor(config: MoeShape, intermediate_size: number) {
    super()
    const { hidden_size, hidden_act, num_experts: E, num_experts_per_tok: k } = config
    if (k > E) throw new RushlightError(`config: num_experts_per_tok ${k} is more than num_experts ${E}`)
    this.perToken = k
    this.normalized = config.norm_topk_prob
    this.gate = new Router(hidden_size, E, false)
    const expert = () => new LlamaMLP({ hidden_size, intermediate_size, hidden_act })
    this.experts = new ModuleList(Array.from({ length: E }, expert))
  }

  forward(x: Tensor, context?: Context): Tensor {
    const H = x.shape[2]
    const tokens = x.reshape([-1, H]) // (N,H)
    const logits = this.gate(tokens) // (N,E)
    context?.router_logits?.push(keep(logits))
    const [probabilities, chosen] = logits.to('float32').softmax(-1).topk(this.perToken, -1) // (N,k)
    const shares = this.normalized ? probabilities.div(probabilities.sum(-1, true)) : probabilities
    const made = this.work(tokens, chosen.tolist() as number[][]) // (N,k,H)
    return made.mul(shares.unsqueeze(-1)).sum(1).view(x.shape) // (B,T,H)
  }

  /** What each token's experts make of it, (N,k,H): every expert works once, on all of its tokens. */
  private work(tokens: Tensor, chosen: number[][]): Tensor {
    const [N, H] = tokens.shape
    const k = this.perToken
    const places: number[][] = Array.from({ length: this.experts.length }, () => []) // n·k + slot, by expert
    chosen.forEach((experts, n) => {
      experts.forEach((e, slot) => {
        places[e].push(n * k + slot)
      })
    })
    const outputs: Tensor[] = []
    // While gradients are recorded all work, be it on nothing: an expert without tokens has a gradient of zero, as in Python.
    for (const [e, expert] of [...this.experts].entries())
      if (places[e].length > 0 || is_grad_enabled()) {
        const rows = int64(places[e].map((place) => Math.floor(place / k)))
        outputs.push(expert(tokens.index_select(0, rows)))
      }
    const back = new Array<number>(N * k)
    places.flat().forEach((place, row) => {
      back[place] = row
    })
    return cat(outputs).index_select(0, int64(back)).view([N, k, H])
  }
}

function int64(values: number[]): Tensor {
  return Tensor.from(values, [values.length], 'int64')
}

/** A layer whose MLP may be a mixture of experts. */
export class MoeDecoderLayer<C extends MoeShape> extends LlamaDecoderLayer<C> {
  declare mlp: Module<[x: Tensor, context?: Context], Tensor>

  override forward(x: Tensor, context: Context): Tensor {
    const h = x.add(this.self_attn(this.input_layernorm(x), context))
    return h.add(this.mlp(this.post_attention_layernorm(h), context)) // (B,T,H)
  }
}

/** A decoder whose layers have experts. */
export abstract class MoeModel<C extends MoeShape> extends LlamaModel<C> {
  protected override accepted(): readonly string[] {
    return [...super.accepted(), 'output_router_logits']
  }

  override forward(inputs: DecoderInputs): BaseModelOutput {
    return super.forward({
      ...inputs,
      output_router_logits: inputs.output_router_logits ?? this.config.output_router_logits,
    })
  }
}

/** A decoder with experts and a language modeling head: its loss counts how evenly they work, where router logits are asked for. */
export abstract class MoeForCausalLM<C extends MoeShape> extends LlamaForCausalLM<C> {
  override forward(inputs: CausalInputs): CausalLMOutput {
    const { loss, ...rest } = super.forward(inputs)
    if (!rest.router_logits) return { ...(loss && { loss }), ...rest }
    const mask = batch(this.constructor.name, 'attention_mask', inputs.attention_mask) // (B,S)
    const { num_experts_per_tok: k, router_aux_loss_coef: coefficient } = this.config
    const aux_loss = loadBalancingLoss(rest.router_logits, k, mask)
    return { ...(loss && { loss: loss.add(aux_loss.mul(coefficient)) }), aux_loss, ...rest }
  }
}

/**
 * E · Σ over experts of (how many of the tokens chose it) · (its mean probability), over all layers: 1·k where all work alike, more
 * where some work more (Fedus et al. 2021, equations 4 to 6). Logits (B·T,E) of each layer; padding does not count.
 */
export function loadBalancingLoss(router_logits: Tensor[], k: number, attention_mask: Tensor | null): Tensor {
  const [N, E] = router_logits[0].shape
  const weights = attention_mask && newTokens(attention_mask, N).reshape([N, 1]).to('float32')
  const weighted = (x: Tensor) => (weights ? x.mul(weights) : x).sum(0) // (E)
  const sum = (layers: Tensor[]) => layers.reduce((a, b) => a.add(b))
  const probabilities = router_logits.map((logits) => logits.to('float32').softmax(-1)) // (N,E) each
  const probability = sum(probabilities.map(weighted))
  const chosen = sum(probabilities.map((p) => weighted(F.one_hot(p.topk(k, -1)[1], E).sum(1).to('float32'))))
  const tokens = (weights ? weights.sum().item() : N) * router_logits.length
  return (chosen as Tensor)
    .mul(probability as Tensor)
    .sum()
    .mul(E / tokens ** 2)
}

/** The mask's part (B,T) for the N = B·T tokens of a call: those behind what is cached. */
function newTokens(mask: Tensor, N: number): Tensor {
  const [B, S] = mask.shape
  return mask.narrow(1, S - N / B, N / B)
}
