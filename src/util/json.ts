// JSON beyond JSON.parse: keys that appear twice, and the numbers that Python writes.

/**
 * JSON as Python writes it: `Infinity` and `-Infinity` are numbers. A byte order mark is skipped.
 * @throws SyntaxError when it is not JSON
 */
export function parseJson(text: string): unknown {
  const plain = text.startsWith('\ufeff') ? text.slice(1) : text
  // 1e999 is how JSON can say infinity; strings are matched so that words in them stay.
  const needed = plain.includes('Infinity')
  return JSON.parse(
    needed ? plain.replace(/"(?:[^"\\]|\\.)*"|\bInfinity\b/g, (m) => (m === 'Infinity' ? '1e999' : m)) : plain,
  )
}

/**
 * JSON as Python writes it in repositories: two spaces a level, keys sorted, a newline at the end, infinity by name.
 * @param floats keys whose whole numbers are written with a point (`30.0`), since Python reads `30` as an integer
 */
export function pythonJson(value: Record<string, unknown>, floats: ReadonlySet<string> = new Set()): string {
  const sorted = (key: string, v: unknown) => {
    if (v === Number.POSITIVE_INFINITY || v === Number.NEGATIVE_INFINITY) return `${MARK}${v}`
    if (floats.has(key) && Number.isSafeInteger(v)) return `${MARK}${v}.0`
    return typeof v === 'object' && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v
  }
  return `${JSON.stringify(value, sorted, 2).replace(new RegExp(`"${MARK}([^"]*)"`, 'g'), '$1')}\n`
}
const MARK = '\ue000'

/**
 * The first key that appears twice in one object of a JSON text, or undefined. JSON.parse would keep the last one silently.
 * @param text that JSON.parse has accepted
 */
export function duplicateKey(text: string): string | undefined {
  const open: (Set<string> | null)[] = [] // keys of the objects around; null for a list
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x7b) open.push(new Set())
    else if (c === 0x5b) open.push(null)
    else if (c === 0x7d || c === 0x5d) open.pop()
    else if (c === 0x22) {
      const start = i
      while (text.charCodeAt(++i) !== 0x22) if (text.charCodeAt(i) === 0x5c) i++
      keyEnd.lastIndex = i + 1
      const keys = open[open.length - 1]
      if (!keys || !keyEnd.test(text)) continue
      const key = JSON.parse(text.slice(start, i + 1)) as string
      if (keys.has(key)) return key
      keys.add(key)
    }
  }
  return undefined
}
const keyEnd = /[ \t\n\r]*:/y

/** Whether a value is an object of JSON, with keys. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
