// Types of runtimes.mjs, for the tests.

export interface Runtime {
  name: string
  command: string
  args: string[]
}

export interface RunResult {
  runtime: string
  ok: boolean
  why: string
  ms: number
  stdout: string
  stderr: string
}

export function findRuntimes(folder: string): { found: Runtime[]; missing: string[] }
export function runIn(
  runtime: Runtime,
  script: string,
  args?: string[],
  options?: { timeout?: number; env?: Record<string, string> },
): Promise<RunResult>
