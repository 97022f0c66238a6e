// Where save_pretrained writes: a directory, or sinks of the caller's.
import { FileError, RushlightError } from '../util/errors.ts'
import { builtin } from '../util/platform.ts'
import { type ByteSink, fileSink } from './sink.ts'
import { fileError } from './source.ts'

/** A directory's path, or what makes the sink of each file where there is no file system. */
export type SaveTarget = string | ((file: string) => ByteSink)

/** Makes the directory and gives what opens files in it. @throws FileError when it cannot be made */
export function filesIn(target: SaveTarget): (file: string) => ByteSink {
  if (typeof target === 'function') return target
  if (typeof target !== 'string' || target === '')
    throw new RushlightError(`save_pretrained: expected a directory's path, found ${JSON.stringify(target)}`)
  const fs = builtin('node:fs')
  if (!fs)
    throw new FileError(
      `${target}: there is no file system here. Hint: save_pretrained((file) => sink) with a ByteSink of your own`,
    )
  try {
    fs.mkdirSync(target, { recursive: true })
  } catch (cause) {
    throw fileError(target, 'made a directory', cause)
  }
  return (file) => fileSink(`${target}/${file}`)
}

/** Writes a small text file. */
export async function writeText(sink: ByteSink, text: string): Promise<void> {
  try {
    await sink.write(new TextEncoder().encode(text))
    await sink.commit()
  } catch (error) {
    await sink.discard()
    throw error
  }
}
