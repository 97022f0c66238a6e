// Warnings: one line each, on the console.

/** Tells the user of something that is probably not meant. */
export function warn(message: string): void {
  console.warn(`rushlight: ${message}`)
}
