// Warnings: one line each, on the console, as long as they are wanted.
import { UnsupportedOptionError } from './errors.ts'
import { environment } from './platform.ts'

const LEVELS = ['debug', 'info', 'warning', 'error'] as const
export type Verbosity = (typeof LEVELS)[number]

let chosen: Verbosity | undefined

/**
 * How much rushlight says on the console: 'debug', 'info', 'warning' (as it is without) or 'error', which silences warnings and
 * progress bars.
 * @throws UnsupportedOptionError for another level
 */
export function set_verbosity(level: Verbosity): void {
  if (!LEVELS.includes(level))
    throw new UnsupportedOptionError(
      `set_verbosity: ${String(level)} is not supported. Supported: ${LEVELS.join(', ')}`,
    )
  chosen = level
}

/** The level that `set_verbosity` chose, else that of `TRANSFORMERS_VERBOSITY`, else 'warning'. */
export function get_verbosity(): Verbosity {
  const given = environment('TRANSFORMERS_VERBOSITY')?.toLowerCase()
  return chosen ?? LEVELS.find((level) => level === (given === 'critical' ? 'error' : given)) ?? 'warning'
}

/** Tells the user of something that is probably not meant. */
export function warn(message: string): void {
  if (get_verbosity() !== 'error') console.warn(`rushlight: ${message}`)
}

const told = new Set<string>()

/** The same, the first time that it is said. */
export function warnOnce(message: string): void {
  if (told.has(message)) return
  told.add(message)
  warn(message)
}
