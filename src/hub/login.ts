// Who we are to the Hub: login, logout, whoami.
import { checkOptions, RushlightError } from '../util/errors.ts'
import { builtin, environment } from '../util/platform.ts'
import { warn } from '../util/warn.ts'
import { HfHubHTTPError } from './errors.ts'
import { ask, refusal } from './http.ts'
import { endpoint, metadataTimeout } from './settings.ts'
import { cleaned, forgetToken, keepToken, tokenOf } from './token.ts'

/** What the Hub says about the owner of a token. */
export interface WhoAmI {
  type: string
  name: string
  [key: string]: unknown
}

/**
 * Who the token belongs to: the one given, or that of the login.
 * @throws RushlightError without a token, HfHubHTTPError when the Hub does not know it
 */
export async function whoami(given?: string | { token?: string | boolean; signal?: AbortSignal }): Promise<WhoAmI> {
  const options = typeof given === 'object' ? given : { token: given }
  checkOptions('whoami', options, ['token', 'signal'])
  const token = tokenOf(options.token ?? true)
  if (token === undefined) throw new RushlightError('whoami: there is no token. Hint: rushlight login, or HF_TOKEN')
  const request = { name: 'whoami', token, signal: options.signal, timeout: metadataTimeout() }
  const answer = await ask(`${endpoint()}/api/whoami-v2`, request)
  if (answer.response.ok) return (await answer.json()) as WhoAmI
  await answer.close()
  if (answer.response.status === 401)
    throw new HfHubHTTPError(
      'the Hub does not know this token. Hint: make a new one in its settings, under Access Tokens',
      401,
    )
  throw refusal(answer.response, request)
}

/**
 * Verifies a token and keeps it where Python keeps it too (in a browser: until the page is left). Without one, asks for it where
 * somebody can answer.
 * @throws HfHubHTTPError when the Hub does not know the token; nothing is kept then
 */
export async function login(given?: string | { token?: string; signal?: AbortSignal }): Promise<WhoAmI> {
  const options = typeof given === 'object' ? given : { token: given }
  checkOptions('login', options, ['token', 'signal'])
  const token = cleaned(options.token ?? (await promptForToken()))
  if (token === undefined)
    throw new RushlightError(
      'login: the token is empty. Hint: copy one from the settings of the Hub, under Access Tokens',
    )
  const user = await whoami({ token, signal: options.signal })
  keepToken(token)
  if (environment('HF_TOKEN') && environment('HF_TOKEN') !== token)
    warn('HF_TOKEN is set in the environment, and comes before the token of this login')
  return user
}

/** `login` of a notebook: asks by the prompt that there is. */
export function notebook_login(): Promise<WhoAmI> {
  return login()
}

/** Forgets the token of the login. Gives whether there was one. */
export function logout(): boolean {
  const there = forgetToken()
  if (environment('HF_TOKEN')) warn('HF_TOKEN is set in the environment, and stays in use')
  return there
}

const QUESTION = 'Token (from the settings of the Hub, under Access Tokens): '

/** Asks whoever is there: on a terminal without showing the answer, in a notebook or a browser by its own prompt. */
export async function promptForToken(): Promise<string> {
  if (typeof process !== 'undefined' && process.stdin?.isTTY && process.stderr?.isTTY) return hidden(QUESTION)
  if (typeof globalThis.prompt === 'function') return globalThis.prompt(QUESTION) ?? ''
  throw new RushlightError(
    'login: there is nobody to ask for a token here. Hint: login({ token }), HF_TOKEN, or rushlight login --token',
  )
}

/** A line from the terminal that is not shown. */
function hidden(question: string): Promise<string> {
  const readline = builtin('node:readline')!
  const { stdin, stderr } = process
  return new Promise((resolve, reject) => {
    let answer = ''
    const finish = (settle: () => void) => {
      stdin.off('keypress', key)
      stdin.setRawMode(false)
      stdin.pause()
      stderr.write('\n')
      settle()
    }
    const key = (text: string | undefined, { name, ctrl }: { name?: string; ctrl?: boolean }) => {
      if (ctrl && (name === 'c' || name === 'd')) finish(() => reject(new RushlightError('login: given up')))
      else if (name === 'return' || name === 'enter') finish(() => resolve(answer))
      else if (name === 'backspace') answer = answer.slice(0, -1)
      else if (text !== undefined && !ctrl && text >= ' ') answer += text
    }
    readline.emitKeypressEvents(stdin)
    stdin.setRawMode(true)
    stdin.on('keypress', key)
    stdin.resume()
    stderr.write(question) // now that nothing typed shows
  })
}
