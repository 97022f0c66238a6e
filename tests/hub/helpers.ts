// What the Hub's tests share.
import * as assert from 'uvu/assert'
import type { Repository } from '../../src/io/repository.ts'
import { readBytes } from '../../src/io/source.ts'

/** A file of a repository as a Buffer. */
export async function bytesOf(repository: Repository, file: string): Promise<Buffer> {
  const source = await repository.open(file)
  try {
    return Buffer.from(await readBytes(source, 0, source.size))
  } finally {
    await source.close()
  }
}

/** The error of a promise, of that class and with that message. */
export async function rejects(
  promise: Promise<unknown>,
  type: new (...args: never[]) => Error,
  message: RegExp,
): Promise<Error> {
  const error = await promise.then(
    () => assert.unreachable('expected an error'),
    (error: unknown) => error,
  )
  assert.instance(error, type, String(error))
  assert.match((error as Error).message, message)
  return error as Error
}

/** Runs something with other environment variables (undefined: none), and puts them back. */
export function withEnvironment<R>(values: Record<string, string | undefined>, fn: () => R): R {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const)
  const set = (entries: Iterable<readonly [string, string | undefined]>) => {
    for (const [name, value] of entries)
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
  }
  set(Object.entries(values))
  let result: R
  try {
    result = fn()
  } catch (error) {
    set(before)
    throw error
  }
  if (result instanceof Promise) return result.finally(() => set(before)) as R
  set(before)
  return result
}
