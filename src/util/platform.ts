// What surrounds us: Node's own modules where there are any (Deno and Bun have them too), and the environment.

type BuiltinModules = {
  'node:crypto': typeof import('node:crypto')
  'node:v8': typeof import('node:v8')
  'node:zlib': typeof import('node:zlib')
  'node:worker_threads': typeof import('node:worker_threads')
  'node:os': typeof import('node:os')
  'node:fs': typeof import('node:fs')
  'node:fs/promises': typeof import('node:fs/promises')
  'node:path': typeof import('node:path')
  'node:util': typeof import('node:util')
  'node:readline': typeof import('node:readline')
}

/** A module of Node's (Deno and Bun have them too), or undefined in a browser. Never imported at the top, so bundlers see nothing. */
export function builtin<K extends keyof BuiltinModules>(name: K): BuiltinModules[K] | undefined {
  if (typeof process === 'undefined' || typeof process.getBuiltinModule !== 'function') return undefined
  return process.getBuiltinModule(name) as BuiltinModules[K] | undefined
}

/** An environment variable, or undefined where there is no environment. */
export function environment(name: string): string | undefined {
  return typeof process === 'undefined' ? undefined : process.env?.[name] || undefined
}
