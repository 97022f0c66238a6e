// rushlight login, logout, whoami: the token of the Hub, kept where Python keeps it.
import { login, logout, whoami } from '../hub/index.ts'
import { builtin } from '../util/platform.ts'

const HELP = `Usage: rushlight login [--token TOKEN]

Verifies a token of the Hub and keeps it for rushlight and Python. Without --token it is asked for, or read
from the standard input (echo $TOKEN | rushlight login). Make one in the settings of the Hub, under Access Tokens.

      --token TOKEN  the token (other users of this machine may see it while this runs)
  -h, --help         this`

const OPTIONS = { token: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const

const parse = (args: string[]) => builtin('node:util')!.parseArgs({ args, options: OPTIONS }).values

async function run(args: string[]): Promise<void> {
  const { token, help } = parse(args)
  if (help) return console.log(HELP)
  const { name } = await login(token ?? (process.stdin.isTTY ? undefined : await standardInput()))
  console.log(`Logged in as ${name}`)
}

async function standardInput(): Promise<string> {
  let text = ''
  for await (const piece of process.stdin) text += piece
  return text
}

async function forget(args: string[]): Promise<void> {
  if (parse(args).help) return console.log('Usage: rushlight logout\n\nForgets the token of the login.')
  console.log(logout() ? 'Logged out' : 'There was no login')
}

async function ask(args: string[]): Promise<void> {
  const { token, help } = parse(args)
  if (help) return console.log('Usage: rushlight whoami [--token TOKEN]\n\nSays who the token belongs to.')
  const { name, orgs } = await whoami(token)
  console.log(name)
  const names = (Array.isArray(orgs) ? orgs : []).map((org) => org?.name).filter(Boolean)
  if (names.length > 0) console.log(`orgs: ${names.join(', ')}`)
}

export const command = { summary: 'keep a token of the Hub', run }
export const logoutCommand = { summary: 'forget the token', run: forget }
export const whoamiCommand = { summary: 'say who the token belongs to', run: ask }
