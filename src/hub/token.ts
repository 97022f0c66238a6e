// The token that opens private and gated repositories: the option, HF_TOKEN, or the file that a login wrote.
import { RushlightError, shown } from '../util/errors.ts'
import { builtin, environment } from '../util/platform.ts'
import { implicitTokenDisabled, tokenPath } from './settings.ts'

/** The token of this user, undefined without one: `HF_TOKEN`, else the file that `login` wrote. */
export function get_token(): string | undefined {
  const given = environment('HF_TOKEN') ?? environment('HUGGING_FACE_HUB_TOKEN')
  return cleaned(given) ?? cleaned(readTokenFile())
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
