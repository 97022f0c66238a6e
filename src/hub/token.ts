// The token that opens private and gated repositories: the option, HF_TOKEN, or the file that a login wrote.
import { fileError } from '../io/source.ts'
import { RushlightError, shown } from '../util/errors.ts'
import { builtin, environment } from '../util/platform.ts'
import { implicitTokenDisabled, tokenPath } from './settings.ts'

/** The token of a login where there is no file to keep it in. */
let session: string | undefined

/** The token of this user, undefined without one: `HF_TOKEN`, else the file that `login` wrote. */
export function get_token(): string | undefined {
  const given = environment('HF_TOKEN') ?? environment('HUGGING_FACE_HUB_TOKEN')
  return cleaned(given) ?? cleaned(readTokenFile()) ?? session
}

/** Keeps a token in the file that Python reads too, for this user's eyes only. @throws FileError when it cannot be written */
export function keepToken(token: string): void {
  const fs = builtin('node:fs')
  if (!fs) {
    session = token
    return
  }
  const path = tokenPath()
  try {
    fs.mkdirSync(path.replace(/[\\/][^\\/]*$/, ''), { recursive: true, mode: 0o700 })
    const fd = fs.openSync(path, 'w', 0o600)
    fs.fchmodSync(fd, 0o600) // a file that was there keeps its own mode
    fs.writeSync(fd, token)
    fs.closeSync(fd)
  } catch (cause) {
    throw fileError(path, 'written', cause)
  }
}

/** Forgets the token of a login. Gives whether there was one. */
export function forgetToken(): boolean {
  const there = session !== undefined || readTokenFile() !== undefined
  session = undefined
  try {
    builtin('node:fs')?.rmSync(tokenPath(), { force: true })
  } catch (cause) {
    throw fileError(tokenPath(), 'removed', cause)
  }
  return there
}

/** The token of an option: a string is one, true asks for the user's, false for none. @throws RushlightError for true where there is none */
export function tokenOf(option: string | boolean | undefined): string | undefined {
  if (option === false) return undefined
  if (option === undefined) return implicitTokenDisabled() ? undefined : get_token()
  if (option === true) {
    const token = get_token()
    if (token === undefined)
      throw new RushlightError(
        'token: true asks for the token of a login, and there is none. Hint: rushlight login, or HF_TOKEN',
      )
    return token
  }
  if (typeof option !== 'string')
    throw new RushlightError(`token: expected a string, true or false, found ${shown(option)}`)
  return cleaned(option)
}

/** A token without the white space around it. @throws RushlightError when it cannot be one; never shows it */
export function cleaned(token: string | undefined): string | undefined {
  const bare = token?.trim()
  if (bare && !/^[\x21-\x7e]+$/.test(bare))
    throw new RushlightError(
      'token: expected letters and digits, found other characters. Hint: copy it from the settings of the Hub',
    )
  return bare || undefined
}

function readTokenFile(): string | undefined {
  try {
    return builtin('node:fs')?.readFileSync(tokenPath(), 'utf8')
  } catch {
    return undefined // not logged in, or not ours to read
  }
}
