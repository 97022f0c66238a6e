// The errors users see. Each message names the op, the option or the file and field, what was expected and found, then a hint.

/** Base of every error that rushlight throws on purpose. */
export class RushlightError extends Error {
  override name = 'RushlightError' // literal, since a minified bundle has no class names
}

/** Shapes that do not go together, or not with the op. */
export class ShapeError extends RushlightError {
  override name = 'ShapeError'
}

/** A dtype that an op or a format does not take. */
export class DTypeError extends RushlightError {
  override name = 'DTypeError'
}

/** A file that is not what its format says: truncated, inconsistent or hostile. */
export class FileFormatError extends RushlightError {
  override name = 'FileFormatError'

  constructor(
    /** Name of the file. */
    readonly file: string,
    /** The part of it that is wrong, such as `header length` or `tensors.wte.data_offsets`. */
    readonly field: string,
    expected: string,
    found: string,
    hint?: string,
  ) {
    super(`${file}: ${field}: expected ${expected}, found ${found}${hint ? `. Hint: ${hint}` : ''}`)
  }
}

/** A file that is missing, cannot be read or written, or changed while it was being read. */
export class FileError extends RushlightError {
  override name = 'FileError'
}

/** An option that is unknown, or has a value that is not supported. */
export class UnsupportedOptionError extends RushlightError {
  override name = 'UnsupportedOptionError'
}

/** The error for an option's value that `where` does not support. Gives it back, for `throw unsupported(…)`. */
export function unsupported(
  where: string,
  option: string,
  value: unknown,
  supported: readonly unknown[],
): UnsupportedOptionError {
  return new UnsupportedOptionError(
    `${where}: ${option}: ${shown(value)} is not supported. Supported: ${supported.map(shown).join(', ')}`,
  )
}

/** Refuses options that `where` does not know. @throws UnsupportedOptionError naming the first one and those there are */
export function checkOptions(where: string, given: object, known: readonly string[]): void {
  if (typeof given !== 'object' || given === null)
    throw new RushlightError(
      `${where}: expected options as an object, such as { ${known[0]}: … }, found ${shown(given)}`,
    )
  for (const key of Object.keys(given))
    if (!known.includes(key))
      throw new UnsupportedOptionError(`${where}: unsupported option ${key}. Supported: ${known.join(', ')}`)
}

/** A value as errors show it: strings in quotes with control characters escaped, cut where long. Never throws. */
export function shown(value: unknown): string {
  const text =
    typeof value === 'string'
      ? JSON.stringify(value)
      : Array.isArray(value)
        ? `a list of ${value.length}`
        : typeof value === 'object' && value !== null
          ? 'an object'
          : String(value)
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}
