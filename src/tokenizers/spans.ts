// Where the tokens of a word stand in it, found from their text.

/** A range of a word. */
export type Span = [start: number, end: number]

interface Spelling {
  /** Of tokens that do not begin a word. */
  prefix?: string
  /** Of tokens that end one. */
  suffix?: string
  /** Characters without a token, side by side, are one unknown token. */
  fused?: boolean
  /** And so are their bytes. */
  fusedBytes?: boolean
}

const BYTE = /^<0x[0-9A-F]{2}>$/
const encoder = new TextEncoder()

/** A function that gives the span of each id of a word. */
export function spansOf(
  vocab: ReadonlyMap<string, number>,
  { prefix = '', suffix = '', fused = false, fusedBytes = false }: Spelling,
): (word: string, ids: readonly number[]) => Span[] {
  const tokens: string[] = []
  return (word, ids) => {
    if (tokens.length === 0) for (const [token, id] of vocab) tokens[id] = token
    /** Length of the token where it stands at a position of the word, or 0. */
    const lengthAt = (id: number | undefined, at: number): number => {
      let token = tokens[id ?? -1] ?? ''
      if (at > 0 && prefix !== '' && token.startsWith(prefix)) token = token.slice(prefix.length)
      if (suffix !== '' && token.endsWith(suffix) && at + token.length - suffix.length === word.length)
        token = token.slice(0, -suffix.length)
      return word.startsWith(token, at) ? token.length : 0
    }
    const charEnd = (at: number) => at + (word.codePointAt(at)! > 0xffff ? 2 : 1)
    /** End of the characters from a position on that have no token, where `next` is the token after them. */
    const unknownEnd = (at: number, next: number | undefined): number => {
      let end = charEnd(at)
      while (end < word.length && !vocab.has(word.slice(end, charEnd(end))) && lengthAt(next, end) === 0)
        end = charEnd(end)
      return end
    }
    const spans: Span[] = []
    let at = 0
    while (spans.length < ids.length) {
      const i = spans.length
      const length = lengthAt(ids[i], at)
      let end = at + length
      let count = 1
      if (length === 0 && at < word.length) {
        const isByte = BYTE.test(tokens[ids[i]] ?? '')
        const afterBytes = ids.findIndex((id, k) => k > i && !BYTE.test(tokens[id] ?? ''))
        const next = isByte ? ids[afterBytes] : ids[i + 1]
        end = (isByte ? fusedBytes : fused) ? unknownEnd(at, next) : charEnd(at)
        if (isByte) count = encoder.encode(word.slice(at, end)).length
      }
      for (let k = 0; k < count; k++) spans.push([at, end])
      at = end
    }
    return spans
  }
}
