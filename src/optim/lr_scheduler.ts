// Learning rates over time: each step of a scheduler sets the `lr` of every group.
import { RushlightError } from '../util/errors.ts'
import type { Optimizer } from './optimizer.ts'

type AnyOptimizer = Pick<Optimizer<{ lr: number }>, 'param_groups'>

/** Learning rate = that of the start × `lr_lambda(steps so far)` (torch.optim.lr_scheduler.LambdaLR). */
export class LambdaLR {
  /** Steps so far. */
  last_epoch: number
  private readonly lambdas: ((step: number) => number)[]
  private readonly base: number[]

  /** @param lr_lambda one for all groups, or one for each */
  constructor(
    readonly optimizer: AnyOptimizer,
    lr_lambda: ((step: number) => number) | ((step: number) => number)[],
    last_epoch = -1,
  ) {
    const groups = optimizer.param_groups
    this.lambdas = Array.isArray(lr_lambda) ? lr_lambda : groups.map(() => lr_lambda)
    if (this.lambdas.length !== groups.length)
      throw new RushlightError(`LambdaLR: ${this.lambdas.length} functions for ${groups.length} groups of parameters`)
    this.base = groups.map((group) => (group.initial_lr ??= group.lr))
    this.last_epoch = last_epoch
    this.step()
  }

  /** Call it after the optimizer's step. */
  step(): void {
    this.last_epoch++
    this.apply()
  }

  /** The learning rates set last, one for each group. */
  get_last_lr(): number[] {
    return this.optimizer.param_groups.map(({ lr }) => lr)
  }

  state_dict(): { last_epoch: number; base_lrs: number[] } {
    return { last_epoch: this.last_epoch, base_lrs: [...this.base] }
  }

  load_state_dict({ last_epoch, base_lrs }: { last_epoch: number; base_lrs: number[] }): void {
    if (base_lrs.length !== this.base.length)
      throw new RushlightError(
        `LambdaLR: load_state_dict: ${base_lrs.length} learning rates for ${this.base.length} groups`,
      )
    base_lrs.forEach((lr, i) => {
      this.base[i] = lr
    })
    this.last_epoch = last_epoch
    this.apply()
  }

  private apply(): void {
    this.optimizer.param_groups.forEach((group, i) => {
      group.lr = this.base[i] * this.lambdas[i](this.last_epoch)
    })
  }
}

/** The share of the way from `from` to `to`, at least `from` apart by one. */
function progress(step: number, from: number, to: number): number {
  return (step - from) / Math.max(1, to - from)
}

/** Up from 0 over the warmup, then straight down to 0 (transformers). */
export function get_linear_schedule_with_warmup(
  optimizer: AnyOptimizer,
  num_warmup_steps: number,
  num_training_steps: number,
  last_epoch = -1,
): LambdaLR {
  const at = (step: number) =>
    step < num_warmup_steps
      ? progress(step, 0, num_warmup_steps)
      : Math.max(0, (num_training_steps - step) / Math.max(1, num_training_steps - num_warmup_steps))
  return new LambdaLR(optimizer, at, last_epoch)
}

/** Up from 0 over the warmup, then down to 0 along a cosine (transformers). */
export function get_cosine_schedule_with_warmup(
  optimizer: AnyOptimizer,
  num_warmup_steps: number,
  num_training_steps: number,
  num_cycles = 0.5,
  last_epoch = -1,
): LambdaLR {
  const at = (step: number) =>
    step < num_warmup_steps
      ? progress(step, 0, num_warmup_steps)
      : Math.max(
          0,
          0.5 * (1 + Math.cos(Math.PI * num_cycles * 2 * progress(step, num_warmup_steps, num_training_steps))),
        )
  return new LambdaLR(optimizer, at, last_epoch)
}
