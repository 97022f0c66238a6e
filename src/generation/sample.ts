// Greedy search and sampling: one token a sequence and step.
import type { Cache } from '../models/cache.ts'
import type { SampleStream } from '../util/random.ts'
import type { Guidance } from './guidance.ts'
import { type LogitsProcessor, softmax } from './logits-process.ts'
import type { Stepper } from './stepper.ts'
import type { StoppingCriteria } from './stopping-criteria.ts'

/** What every strategy works with. */
export interface Search {
  stepper: Stepper
  processors: readonly LogitsProcessor[]
  criteria: readonly StoppingCriteria[]
  /** null is greedy. */
  random: SampleStream | null
  /** Number of the prompt that each row continues. */
  prompts: readonly number[]
  /** Padding in front of each row. */
  paddings: readonly number[]
  pad: number
  guidance: Guidance | null
  /** Called with what each row gained; awaits the event loop, and throws when it is to end. */
  tell(ids: readonly number[][]): Promise<void>
  /** Called with the rows of each step: the model's logits, and the scores that they became. */
  keep: ((logits: readonly Float32Array[], scores: readonly Float32Array[]) => void) | null
  cache: Cache | null
}

/** Runs the processors over a row. */
export function processed(
  { processors, prompts, paddings }: Search,
  scores: Float32Array,
  ids: readonly number[],
  row: number,
): Float32Array {
  let at = scores
  for (const process of processors) at = process(at, ids, { padding: paddings[row], index: prompts[row] }) ?? at
  return at
}

/** Until every row has ended. Rows that end early go on with padding. */
export async function sample(search: Search): Promise<void> {
  const { stepper, criteria, random, pad, keep, guidance } = search
  const { rows } = stepper
  const done = rows.map(() => false)
  // Where nothing looks at the scores, they need not leave the heap.
  const plain = !random && !keep && !guidance && search.processors.length === 0
  while (done.includes(false)) {
    let chosen: number[]
    let scores: Float32Array[] | null = null
    if (plain) chosen = stepper.best()
    else {
      const logits = stepper.next()
      const raw = keep ? logits.map((row) => row.slice()) : logits
      const guided = guidance ? guidance.apply(logits, rows) : logits
      scores = guided.map((row, b) => processed(search, row, rows[b], b))
      keep?.(raw, scores)
      chosen = scores.map((row) => (random ? random.pick(softmax(row)) : argmax(row)))
    }
    const next = chosen.map((id, b) => (done[b] ? pad : id))
    stepper.push(next)
    rows.forEach((ids, b) => {
      if (!done[b] && criteria.some((ends) => ends(ids, scores?.[b] ?? null))) done[b] = true
    })
    await search.tell(next.map((id) => [id]))
  }
}

export function argmax(scores: Float32Array): number {
  let best = 0
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i
  return best
}
