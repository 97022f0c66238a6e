// Beam search and beam sampling, as transformers' vectorized search does them.
import type { SampleStream } from '../util/random.ts'
import type { GenerationConfig } from './config.ts'
import { logSoftmax } from './logits-process.ts'
import { processed, type Search } from './sample.ts'

/** A beam: its ids, the logarithm of their probability, and the row of each step that each new id was chosen in. */
interface Beam {
  ids: number[]
  score: number
  rows: number[]
}

/** A finished beam; its score is divided by the power of its length. `ended` is false for the places that are still free. */
interface Finished extends Beam {
  ended: boolean
}

/** What a search over beams found, best first, num_return_sequences of each prompt. */
export interface Beams {
  sequences: number[][]
  scores: number[]
  rows: number[][]
}

const NEVER = -1e9

/** The stepper's rows are num_beams copies of each prompt. */
export async function beamSearch(
  search: Search,
  config: GenerationConfig,
  { eos, limit }: { eos: readonly number[]; limit: number },
): Promise<Beams> {
  const { stepper, criteria, keep, random } = search
  const { num_beams: N, early_stopping: early, length_penalty } = config
  const prompt = stepper.length
  const B = stepper.rows.length / N
  const kept = Math.max(2, 1 + eos.length) * N // so that N of them have not ended
  // At first all beams of a prompt are the same: one alone counts.
  let running = Array.from({ length: B }, (_, b) =>
    Array.from(
      { length: N },
      (_, n): Beam => ({ ids: [...stepper.rows[b * N]], score: n === 0 ? 0 : NEVER, rows: [] }),
    ),
  )
  const finished = running.map((beams) =>
    beams.map(({ ids }): Finished => ({ ids, score: NEVER, rows: [], ended: false })),
  )
  const hopeful = running.map(() => true) // whether better ones than the finished can be expected

  for (;;) {
    const logits = stepper.next()
    const raw = keep ? logits.map((row) => row.slice()) : logits
    const logs = logits.map((row) => Float32Array.from(logSoftmax(row)))
    const scores = logs.map((row, r) => processed(search, row, stepper.rows[r], r))
    keep?.(raw, scores)

    const moves: number[] = []
    const chosen: number[] = []
    let open = false // whether any beam can go on
    running = running.map((beams, b) => {
      const offered = continuations(beams, scores.slice(b * N, b * N + N), kept, random).map(({ beam, id, score }) => ({
        ids: [...beams[beam].ids, id],
        score,
        rows: [...beams[beam].rows, b * N + beam],
        beam,
      }))
      const ends = offered.map(({ ids }, i) => criteria.some((ends) => ends(ids, scores[b * N + offered[i].beam])))
      if (ends.includes(false)) open = true

      // Of the N best offered, those that have ended may take the place of worse finished ones.
      const full = early === true && finished[b].every(({ ended }) => ended)
      const length = stepper.length + 1 - prompt
      const candidates = offered.map(({ ids, score, rows }, i): Finished => {
        const counts = ends[i] && i < N && !full && hopeful[b]
        return { ids, rows, score: score / length ** length_penalty + (counts ? 0 : NEVER), ended: ends[i] && i < N }
      })
      finished[b] = best([...finished[b], ...candidates], N)

      const next = best(
        offered.map((beam, i) => ({ ...beam, score: beam.score + (ends[i] ? NEVER : 0) })),
        N,
      )
      for (const { beam, ids } of next) {
        moves.push(b * N + beam)
        chosen.push(ids[ids.length - 1])
      }
      return next.map(({ ids, score, rows }) => ({ ids, score, rows }))
    })

    stepper.reorder(moves)
    stepper.push(chosen)
    await search.tell(chosen.map((id) => [id]))
    const generated = stepper.length - prompt
    running.forEach((beams, b) => {
      const length = early === 'never' && length_penalty > 0 ? limit - prompt : generated
      const possible = beams[0].score / length ** length_penalty
      const worst = finished[b].reduce((least, { score }) => Math.min(least, score), Number.POSITIVE_INFINITY)
      const beatable = finished[b].some(({ ended }) => possible > (ended ? worst : NEVER))
      hopeful[b] = hopeful[b] && beatable
    })
    const allFull = early === true && finished.every((beams) => beams.every(({ ended }) => ended))
    if (!hopeful.includes(true) || allFull || !open) break
  }
  const results = finished.flatMap((beams) => beams.slice(0, config.num_return_sequences))
  return {
    sequences: results.map(({ ids }) => ids),
    scores: results.map(({ score }) => score),
    rows: results.map(({ rows }) => rows),
  }
}

/** The `count` best continuations of a prompt's beams, or as many drawn by their probability, no one twice. */
function continuations(
  beams: readonly Beam[],
  scores: readonly Float32Array[],
  count: number,
  random: SampleStream | null,
): { beam: number; id: number; score: number }[] {
  const found: { beam: number; id: number; score: number; rank: number }[] = []
  let least = Number.NEGATIVE_INFINITY
  scores.forEach((row, beam) => {
    for (let id = 0; id < row.length; id++) {
      const score = Math.fround(row[id] + beams[beam].score)
      // Adding Gumbel's noise to logarithms of probabilities and taking the largest draws without putting back.
      const rank = random ? score - Math.log(-Math.log(random.next() || Number.MIN_VALUE)) : score
      if (found.length >= count && !(rank > least)) continue
      let at = found.length
      while (at > 0 && found[at - 1].rank < rank) at--
      found.splice(at, 0, { beam, id, score, rank })
      if (found.length > count) found.pop()
      if (found.length === count) least = found[count - 1].rank
    }
  })
  return found
}

/** The n of highest score, highest first; of equal ones the first. */
function best<T extends { score: number }>(list: readonly T[], n: number): T[] {
  return [...list].sort((a, b) => b.score - a.score).slice(0, n)
}
