// Mamba (Gu and Dao 2023): no attention; each layer convolves a few tokens and carries a state that each token steps on as it says.
import { ModuleList } from '../nn/containers.ts'
import * as F from '../nn/functional.ts'
import * as init from '../nn/init.ts'
import { Conv1d, Embedding, Linear, RMSNorm } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import { Parameter } from '../nn/parameter.ts'
import { arange } from '../ops/creation.ts'
import { rand } from '../ops/random.ts'
import { selective_scan } from '../ops/selective-scan.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { unsupported } from '../util/errors.ts'
import { ACT2FN, type Activation } from './activations.ts'
import type { Context } from './attention.ts'
import { causalConv, withoutPadding } from './causal-conv.ts'
import { PreTrainedConfig } from './config.ts'
import { DecoderForCausalLM, DecoderModel } from './decoder.ts'
import type { ConfigClass, Rename } from './model.ts'

const defaults = {
  vocab_size: 50280,
  hidden_size: 768,
  state_size: 16,
  num_hidden_layers: 32,
  layer_norm_epsilon: 1e-5,
  pad_token_id: 0 as number | null,
  bos_token_id: 0,
  eos_token_id: 0 as number | number[],
  expand: 2,
  conv_kernel: 4,
  use_bias: false,
  use_conv_bias: true,
  hidden_act: 'silu',
  initializer_range: 0.1,
  time_step_rank: 'auto' as number | 'auto',
  time_step_scale: 1,
  time_step_min: 0.001,
  time_step_max: 0.1,
  time_step_init_scheme: 'random',
  time_step_floor: 1e-4,
  rescale_prenorm_residual: false,
  tie_word_embeddings: true,
}

export interface MambaConfig extends Readonly<Omit<typeof defaults, `${string}_token_id` | 'time_step_rank'>> {
  readonly intermediate_size: number
  readonly time_step_rank: number
}
/** Configuration of Mamba. */
export class MambaConfig extends PreTrainedConfig {
  static override readonly model_type: string = 'mamba'
  static override readonly defaults: Readonly<Record<string, unknown>> = defaults

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(given)
    this.derive({ intermediate_size: Math.trunc(this.expand * this.hidden_size) })
    if (this.time_step_rank === ('auto' as never)) this.derive({ time_step_rank: Math.ceil(this.hidden_size / 16) })
  }
}

class MambaMixer extends Module<[x: Tensor, context: Context], Tensor> {
  A_log: Parameter
  D: Parameter
  conv1d: Conv1d
  in_proj: Linear
  x_proj: Linear
  dt_proj: Linear
  out_proj: Linear
  private readonly act: Activation

  constructor(
    private readonly config: MambaConfig,
    private readonly layer: number,
  ) {
    super()
    const { hidden_size: H, intermediate_size: I, state_size: N, time_step_rank: R, use_bias } = config
    const { conv_kernel, use_conv_bias, hidden_act } = config
    this.A_log = Parameter.lazy(
      [I, N],
      (t) =>
        void t.copy_(
          arange(1, N + 1)
            .to('float32')
            .log(),
        ),
    )
    this.D = Parameter.lazy([I], (t) => void init.ones_(t))
    this.conv1d = new Conv1d(I, I, conv_kernel, { groups: I, bias: use_conv_bias })
    this.in_proj = new Linear(H, 2 * I, use_bias)
    this.x_proj = new Linear(I, R + 2 * N, false)
    this.dt_proj = new Linear(R, I)
    this.out_proj = new Linear(I, H, use_bias)
    this.act = ACT2FN(hidden_act)
  }

  forward(x: Tensor, context: Context): Tensor {
    const { state_size: N, time_step_rank: R } = this.config
    const { cache, length } = context
    const [u, gate] = this.in_proj(withoutPadding(x, context)).chunk(2, -1) // (B,T,I) each
    const mixed = this.act(causalConv(this.conv1d, u.transpose(1, 2), context, this.layer)).transpose(1, 2)
    const h = withoutPadding(mixed, context) // (B,T,I)
    const [r, B, C] = this.x_proj(h).split([R, N, N], -1) // (B,T,R), (B,T,N) each
    const dt = F.logsigmoid(this.dt_proj(r).neg()).neg() // softplus, (B,T,I)
    const A = this.A_log.to('float32').exp().neg() // (I,N)
    const before = cache?.state(this.layer, 'recurrence') ?? null
    const [y, state] = selective_scan(h, dt, A, B, C, before) // (B,T,I), (B,I,N)
    cache?.set_state(this.layer, 'recurrence', state.detach(), length)
    return this.out_proj(y.add(h.mul(this.D)).mul(F.silu(gate))) // (B,T,H)
  }

  /** Initial values of what is not drawn as in every model. */
  initialize(): void {
    const { conv1d, dt_proj, out_proj, config } = this
    const { time_step_rank, time_step_scale, time_step_min, time_step_max, time_step_floor } = config
    const std = time_step_rank ** -0.5 * time_step_scale
    const within = (bound: number) => (t: Tensor) => void init.uniform_(t, -bound, bound)
    const scheme = config.time_step_init_scheme
    if (scheme !== 'random' && scheme !== 'constant')
      throw unsupported('config of mamba', 'time_step_init_scheme', scheme, ['random', 'constant'])
    dt_proj.weight.initializeWith(scheme === 'random' ? within(std) : (t) => void init.constant_(t, std))
    dt_proj.bias?.initializeWith((t) => {
      // Steps spread evenly over orders of magnitude, and softplus undone.
      const [low, high] = [Math.log(time_step_min), Math.log(time_step_max)]
      const dt = rand(t.shape)
        .mul(high - low)
        .add(low)
        .exp()
        .clamp(time_step_floor)
      t.copy_(dt.add(dt.neg().expm1().neg().log()))
    })
    conv1d.weight.initializeWith(within(1 / Math.sqrt(config.conv_kernel)))
    const shrunk = config.rescale_prenorm_residual ? Math.sqrt(config.num_hidden_layers) : 1
    out_proj.weight.initializeWith(within(1 / Math.sqrt(config.intermediate_size) / shrunk))
  }
}

class MambaBlock extends Module<[x: Tensor, context: Context], Tensor> {
  norm: RMSNorm
  mixer: MambaMixer

  constructor(config: MambaConfig, layer: number) {
    super()
    this.norm = new RMSNorm(config.hidden_size, { eps: config.layer_norm_epsilon })
    this.mixer = new MambaMixer(config, layer)
  }

  forward(x: Tensor, context: Context): Tensor {
    return x.add(this.mixer(this.norm(x), context)) // (B,T,H)
  }
}

/** The first checkpoints say `embedding`. */
const RENAME: readonly Rename[] = [{ from: /^(backbone\.)?embedding\./, to: '$1embeddings.' }]

/** The decoder without a head. Positions are told by order alone: `position_ids` change nothing. */
export class MambaModel extends DecoderModel<MambaConfig> {
  static override readonly config_class: ConfigClass = MambaConfig
  static override readonly rename: readonly Rename[] = RENAME

  embeddings: Embedding
  layers: ModuleList<MambaBlock>
  norm_f: RMSNorm

  constructor(given: MambaConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    const { hidden_size: H, layer_norm_epsilon: eps } = config
    this.embeddings = new Embedding(config.vocab_size, H)
    this.layers = new ModuleList(Array.from({ length: config.num_hidden_layers }, (_, i) => new MambaBlock(config, i)))
    this.norm_f = new RMSNorm(H, { eps })
    this.initialize()
  }

  protected override initialize(): void {
    super.initialize()
    for (const { mixer } of this.layers) mixer.initialize()
  }

  /** There are no weights of attention to tell. */
  protected override accepted(): readonly string[] {
    return super.accepted().filter((name) => name !== 'output_attentions')
  }

  protected embed(ids: Tensor): Tensor {
    return this.embeddings(ids)
  }

  protected blocks(): Iterable<MambaBlock> {
    return this.layers
  }

  protected finish(x: Tensor): Tensor {
    return this.norm_f(x)
  }

  /** As Python: each layer's result, then the last normed, without the embeddings. */
  protected override toTell(states: Tensor[], last: Tensor): Tensor[] {
    return [...states.slice(1), last]
  }
}

/** Mamba with a language modeling head. */
export class MambaForCausalLM extends DecoderForCausalLM<MambaConfig> {
  static override readonly config_class: ConfigClass = MambaConfig
  static override readonly base_model_prefix: string = 'backbone'
  static override readonly rename: readonly Rename[] = RENAME

  backbone: MambaModel
  lm_head: Linear

  constructor(given: MambaConfig | Record<string, unknown>) {
    super(given)
    const { config } = this
    this.backbone = new MambaModel(config)
    this.lm_head = new Linear(config.hidden_size, config.vocab_size, false)
    if (config.tie_word_embeddings) this.lm_head.tie(this.backbone.embeddings.weight)
    this.initialize()
  }

  protected override initialize(): void {
    super.initialize()
    for (const { mixer } of this.backbone.layers) mixer.initialize()
  }

  protected head(x: Tensor): Tensor {
    return this.lm_head(x)
  }
}
