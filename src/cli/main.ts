#!/usr/bin/env node
// The command line: `rushlight COMMAND …`. One file a command.
import { builtin } from '../util/platform.ts'

interface Command {
  summary: string
  run(args: string[]): Promise<void>
}

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  generate: async () => (await import('./generate.ts')).command,
  login: async () => (await import('./login.ts')).command,
  logout: async () => (await import('./login.ts')).logoutCommand,
  whoami: async () => (await import('./login.ts')).whoamiCommand,
  download: async () => (await import('./download.ts')).command,
  cache: async () => (await import('./cache.ts')).command,
}

async function help(): Promise<string> {
  const lines = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]) => `  ${name.padEnd(12)}${(await load()).summary}`),
  )
  return `Usage: rushlight COMMAND [options]\n\nCommands:\n${lines.join('\n')}\n\nrushlight COMMAND --help says more. rushlight --version prints the version.`
}

async function main(args: string[]): Promise<void> {
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') console.log(await help())
  else if (name === '--version' || name === '-v') console.log((await import('../version.ts')).version)
  else if (!Object.hasOwn(COMMANDS, name))
    throw new Error(
      `there is no command '${name}'. Commands: ${Object.keys(COMMANDS).join(', ')}. Hint: rushlight --help`,
    )
  else await (await COMMANDS[name]()).run(rest)
}

// A reader that has heard enough (`rushlight … | head`) is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

main(process.argv.slice(2)).catch((error: Error) => {
  console.error(
    `rushlight: ${builtin('node:util')?.stripVTControlCharacters(error.message) ?? error.message}`.replaceAll(
      '\n',
      ' ',
    ),
  )
  if (process.env.RUSHLIGHT_DEBUG === '1') console.error(error.stack)
  process.exit(1)
})
