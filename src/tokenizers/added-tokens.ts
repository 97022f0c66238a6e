// Added tokens: found in the text before the model sees it, the longest first from the left.
import type { AddedToken } from './format.ts'
import { endOfText } from './normalizers.ts'

/** A part of a text: an added token's, or one that is still to be tokenized. */
export interface Section {
  start: number
  end: number
  /** Id of the added token. */
  id?: number
}

interface Node {
  token?: AddedToken
  next: Map<string, Node>
}

/** Finds a set of added tokens in texts. */
export class AddedTokenFinder {
  private readonly root: Node = { next: new Map() }

  /** @param tokens with the content to look for, which may be normalized */
  constructor(tokens: Iterable<readonly [content: string, token: AddedToken]>) {
    for (const [content, token] of tokens) {
      let node = this.root
      for (const unit of content.split('')) {
        let next = node.next.get(unit)
        if (!next) node.next.set(unit, (next = { next: new Map() }))
        node = next
      }
      if (content !== '') node.token = token
    }
  }

  /** Cuts a text at its added tokens. @param skipped tokens that are left in the text */
  split(text: string, skipped?: (token: AddedToken) => boolean): Section[] {
    if (this.root.next.size === 0) return text === '' ? [] : [{ start: 0, end: text.length }]
    const sections: Section[] = []
    let start = 0 // of the text that is not yet in a section
    let at = 0
    while (at < text.length) {
      const found = this.longestAt(text, at)
      if (!found) {
        at++
        continue
      }
      const [token, end] = found
      const begin = at
      at = end
      if (skipped?.(token) || (token.single_word && (isWordAt(text, begin, -1) || isWordAt(text, end, 1)))) continue
      const from = token.lstrip ? Math.max(endOfText(text.slice(0, begin)), start) : begin
      if (from > start) sections.push({ start, end: from })
      start = end
      if (token.rstrip) while (start < text.length && /\p{White_Space}/u.test(text[start])) start++
      sections.push({ start: from, end: start, id: token.id })
    }
    if (start < text.length) sections.push({ start, end: text.length })
    return sections
  }

  private longestAt(text: string, at: number): [token: AddedToken, end: number] | undefined {
    let found: [AddedToken, number] | undefined
    let node = this.root.next.get(text[at])
    for (let end = at + 1; node; node = node.next.get(text[end++])) if (node.token) found = [node.token, end]
    return found
  }
}

const word = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u

/** Whether the character before (-1) or after (1) a position belongs to a word. */
function isWordAt(text: string, at: number, side: -1 | 1): boolean {
  if (side === 1) return word.test(text.slice(at, at + 2))
  return word.test(/[\ud800-\udbff][\udc00-\udfff]$|.$/s.exec(text.slice(Math.max(at - 2, 0), at))?.[0] ?? '')
}
