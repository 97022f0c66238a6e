// Warnings: one line each, on the console.

/** Tells the user of something that is probably not meant. */
export function warn(message: string): void {
  console.warn(`rushlight: ${message}`)
}

const told = new Set<string>()

/** The same, the first time that it is said. */
export function warnOnce(message: string): void {
  if (told.has(message)) return
  told.add(message)
  warn(message)
}
