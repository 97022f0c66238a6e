// Classifier-free guidance (Sanchez et al. 2023): scores pushed away from those of a negative prompt.
import { logSoftmax } from './logits-process.ts'
import type { Stepper } from './stepper.ts'

/** Runs the model over the negative prompts beside the search. */
export class Guidance {
  private started = false

  /** @param stepper over the negative prompts, with a cache of its own */
  constructor(
    private readonly stepper: Stepper,
    private readonly scale: number,
  ) {}

  /** Scores pushed by the scale. `rows` are the ids so far, whose last the negative prompts go on with. */
  apply(logits: readonly Float32Array[], rows: readonly (readonly number[])[]): Float32Array[] {
    if (this.started) this.stepper.push(rows.map((ids) => ids[ids.length - 1]))
    this.started = true
    const negative = this.stepper.next()
    return logits.map((row, b) => {
      const [wanted, unwanted] = [logSoftmax(row), logSoftmax(negative[b])]
      return Float32Array.from(wanted, (log, i) => this.scale * (log - unwanted[i]) + unwanted[i])
    })
  }

  dispose(): void {
    this.stepper.cache?.dispose()
  }
}
