// Assisted decoding (Leviathan et al. 2023): something cheap drafts several tokens, which the model judges in one step.
import type { GenerationConfig } from './config.ts'
import { type LogitsProcessor, softmax } from './logits-process.ts'
import { argmax, processed, type Search } from './sample.ts'
import type { Stepper } from './stepper.ts'

/** A draft: ids, and the probabilities that each was drawn from, where it was drawn. */
export interface Draft {
  ids: number[]
  probabilities: Float64Array[] | null
}

/** What drafts. */
export interface Drafter {
  /** At most `most` ids that may come behind these. */
  draft(ids: readonly number[], most: number): Draft
  /** Told how many of the last draft were right. */
  judge(accepted: number, drafted: number): void
  dispose(): void
}

/**
 * Drafts what followed where the last tokens stood before (Saxena 2023). After a draft that was wrong the next ones are short, since
 * judging tokens costs time: half again as many as were right, until one is right as a whole.
 */
export class PromptLookup implements Drafter {
  private most: number

  constructor(
    private readonly count: number,
    private readonly largest: number,
  ) {
    this.most = count
  }

  draft(ids: readonly number[], most: number): Draft {
    for (let size = Math.min(this.largest, ids.length - 1); size > 0; size--) {
      const last = ids.slice(-size)
      for (let at = 0; at + size < ids.length; at++)
        if (last.every((id, i) => ids[at + i] === id))
          return { ids: ids.slice(at + size, at + size + Math.min(this.most, most)), probabilities: null }
    }
    return { ids: [], probabilities: null }
  }

  judge(accepted: number, drafted: number): void {
    if (drafted === 0) return
    this.most = accepted === drafted ? Math.min(this.count, 3 * drafted) : Math.max(1, Math.ceil(1.5 * accepted))
  }

  dispose(): void {}
}

/** Drafts by a smaller model with the same tokens. */
export class AssistantModel implements Drafter {
  private count: number

  /** @param stepper of the assistant, with the prompt in it */
  constructor(
    private readonly stepper: Stepper,
    private readonly config: GenerationConfig,
    private readonly processors: readonly LogitsProcessor[],
    private readonly random: Search['random'],
  ) {
    this.count = config.num_assistant_tokens
  }

  draft(ids: readonly number[], most: number): Draft {
    const { stepper, random } = this
    const [known] = stepper.rows
    // Go back to what both agree on, and take over what the model has added.
    let agreed = 0
    while (agreed < known.length && known[agreed] === ids[agreed]) agreed++
    stepper.crop(Math.min(agreed, ids.length - 1))
    for (const id of ids.slice(stepper.length)) stepper.push([id])

    const drafted: number[] = []
    const probabilities: Float64Array[] = []
    for (const limit = Math.min(this.count, most); drafted.length < limit; ) {
      let [scores] = stepper.next()
      for (const process of this.processors) scores = process(scores, known, { padding: 0, index: 0 }) ?? scores
      const share = softmax(scores)
      const id = random ? random.pick(share) : argmax(scores)
      drafted.push(id)
      probabilities.push(share)
      stepper.push([id])
      if (share[id] < this.config.assistant_confidence_threshold) break
    }
    return { ids: drafted, probabilities: random ? probabilities : null }
  }

  judge(accepted: number, drafted: number): void {
    if (this.config.num_assistant_tokens_schedule === 'constant') return
    this.count = accepted === drafted ? this.count + 2 : Math.max(1, this.count - 1)
  }

  dispose(): void {
    this.stepper.cache?.dispose()
  }
}

/** One row, until it has ended. Greedy text, and the distribution of sampled text, are those of the model alone. */
export async function assisted(search: Search, drafter: Drafter, limit: number): Promise<void> {
  const { stepper, criteria, random, keep } = search
  const [ids] = stepper.rows
  const ends = (scores: Float32Array | null) => criteria.some((criterion) => criterion(ids, scores))
  for (let done = false; !done; ) {
    const start = ids.length
    const draft = drafter.draft(ids, limit - stepper.length - 1)
    for (const id of draft.ids) stepper.push([id])
    const [logits] = stepper.logits(draft.ids.length + 1)
    const drafted = draft.ids.length
    stepper.rows[0].length = start
    stepper.masks[0].length -= drafted

    let accepted = 0
    const gained: number[] = []
    for (let i = 0; i <= drafted && !done; i++) {
      const raw = keep ? logits[i].slice() : logits[i]
      const scores = processed(search, logits[i], ids, 0)
      keep?.([raw], [scores])
      const { id, agrees } = choose(scores, draft, i, random)
      stepper.push([id])
      gained.push(id)
      done = ends(scores)
      if (!agrees) break
      accepted++
    }
    drafter.judge(Math.min(accepted, drafted), drafted)
    // The model has seen the draft: it forgets what was not taken, and what it has not seen comes next.
    const seen = stepper.cache?.get_seq_length() ?? 0
    if (seen > stepper.length - 1) stepper.cache?.crop(stepper.length - 1)
    await search.tell([gained])
  }
}

/** The id behind `i` accepted ones, and whether it is the draft's. */
function choose(
  scores: Float32Array,
  { ids, probabilities }: Draft,
  i: number,
  random: Search['random'],
): { id: number; agrees: boolean } {
  if (!random) {
    const id = argmax(scores)
    return { id, agrees: id === ids[i] }
  }
  const share = softmax(scores)
  if (i >= ids.length || !probabilities) {
    const id = random.pick(share)
    return { id, agrees: id === ids[i] }
  }
  // Taken with probability p/q; else drawn from what p has more than q.
  const drafted = ids[i]
  const q = probabilities[i]
  if (random.next() * q[drafted] <= share[drafted]) return { id: drafted, agrees: true }
  let sum = 0
  const rest = share.map((p, id) => Math.max(0, p - q[id]))
  for (const p of rest) sum += p
  return { id: random.pick(rest.map((p) => p / sum)), agrees: false }
}
