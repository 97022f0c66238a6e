// Requests to the Hub: redirects by hand, so that the token stays with the endpoint; retries with backoff; errors by what the server says.
import { shown } from '../util/errors.ts'
import { version } from '../version.ts'
import {
  EntryNotFoundError,
  GatedRepoError,
  HfHubHTTPError,
  type HubError,
  RepositoryNotFoundError,
  RevisionNotFoundError,
} from './errors.ts'
import { env, inBrowser } from './settings.ts'

/** A longer `Retry-After` than this, in milliseconds, is told to the user rather than waited for. */
const PATIENCE = 120_000
const REDIRECTS = 10

export interface HubRequest {
  method?: 'GET' | 'HEAD' | 'POST'
  headers?: Record<string, string>
  body?: string
  token?: string
  signal?: AbortSignal
  /** Milliseconds without an answer, or later without a byte, after which the connection counts as cut. */
  timeout: number
  /** Whether redirects to other origins are followed; without, the redirect itself is the answer, if it says anything of a file. */
  abroad?: boolean
  /** What errors call it. */
  name: string
}

/** What may be different the next time: no connection, a cut one, a busy server. */
export class Interruption extends Error {
  constructor(
    readonly reason: HubError,
    /** Milliseconds that the server asks to wait. */
    readonly wait?: number,
  ) {
    super(reason.message, { cause: reason })
  }
}

/** Waits between attempts: exponentially longer, with jitter, or as long as the server says. */
export class Backoff {
  private failures = 0

  constructor(
    private readonly signal?: AbortSignal,
    private readonly attempts = env.retries.attempts,
  ) {}

  /** Progress was made: the count starts anew. */
  reset(): void {
    this.failures = 0
  }

  /** Returns when it is time to try again. @throws the interruption's reason after too many, or what is no interruption */
  async again(failure: unknown): Promise<void> {
    if (!(failure instanceof Interruption)) throw failure
    if (++this.failures >= this.attempts || (failure.wait ?? 0) > PATIENCE) throw failure.reason
    const { base, most } = env.retries
    const longest = Math.min(most, base * 2 ** (this.failures - 1))
    await pause(failure.wait ?? longest * (0.5 + Math.random() / 2), this.signal)
  }
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const stop = () => {
      clearTimeout(timer)
      reject(signal!.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/** Aborts a request that hears nothing for too long, or whose user has given up. */
class Watch {
  private readonly controller = new AbortController()
  private readonly timer: ReturnType<typeof setInterval>
  private heard = Date.now()
  private readonly stop = () => this.controller.abort(this.given?.reason)

  constructor(
    readonly milliseconds: number,
    private readonly given?: AbortSignal,
  ) {
    given?.throwIfAborted()
    given?.addEventListener('abort', this.stop, { once: true })
    const check = () => {
      if (Date.now() - this.heard >= milliseconds)
        this.controller.abort(new Error(`nothing came for ${milliseconds / 1000} seconds`))
    }
    this.timer = setInterval(check, Math.min(1000, milliseconds / 4))
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  /** From now on something is waited for. */
  start(): void {
    this.heard = Date.now()
  }

  /** It came; what the receiver does with it is no one's delay. */
  rest(): void {
    this.heard = Number.POSITIVE_INFINITY
  }

  close(): void {
    clearInterval(this.timer)
    this.given?.removeEventListener('abort', this.stop)
  }
}

/** An answer, with its body still to be read: `close` (or reading to the end) gives the connection back. */
export interface Answer {
  response: Response
  /** Chunks of the body. @throws Interruption when the connection is cut */
  chunks(): AsyncGenerator<Uint8Array>
  /** The body as JSON, undefined when it is none. */
  json(): Promise<unknown>
  close(): Promise<void>
}

/** One attempt. @throws Interruption when another attempt may help */
export async function attempt(url: string, request: HubRequest): Promise<Answer> {
  const watch = new Watch(request.timeout, request.signal)
  const cut = (cause: unknown): unknown => {
    if (request.signal?.aborted) return request.signal.reason
    return new Interruption(
      new HfHubHTTPError(`${request.name}: the connection failed: ${reasonOf(cause, request.token)}`, 0, {
        cause: withoutToken(cause, request.token),
      }),
    )
  }
  let response: Response
  try {
    response = await follow(new URL(url), request, watch.signal)
  } catch (cause) {
    watch.close()
    throw cause instanceof HfHubHTTPError ? cause : cut(cause)
  }
  watch.rest()
  const answer: Answer = {
    response,
    async *chunks() {
      const reader = response.body?.getReader()
      try {
        for (;;) {
          watch.start()
          const result = await reader?.read().catch((cause) => {
            throw cut(cause)
          })
          if (!result || result.done) return
          watch.rest()
          yield result.value
        }
      } finally {
        watch.close()
        await reader?.cancel().catch(() => {})
      }
    },
    async json() {
      watch.start()
      try {
        return JSON.parse(await response.text())
      } catch (cause) {
        if (cause instanceof SyntaxError) return undefined
        throw cut(cause)
      } finally {
        watch.close()
      }
    },
    async close() {
      watch.close()
      await response.body?.cancel().catch(() => {})
    },
  }
  if (![408, 429, 500, 502, 503, 504].includes(response.status)) return answer
  await answer.close()
  throw new Interruption(refusal(response, request), retryAfter(response))
}

/** Attempts until there is an answer. @throws HfHubHTTPError after too many */
export async function ask(url: string, request: HubRequest, attempts?: number): Promise<Answer> {
  const backoff = new Backoff(request.signal, attempts)
  for (;;) {
    try {
      return await attempt(url, request)
    } catch (failure) {
      await backoff.again(failure)
    }
  }
}

async function follow(url: URL, request: HubRequest, signal: AbortSignal): Promise<Response> {
  let { token } = request // every request begins at the endpoint
  for (let hops = 0; hops <= REDIRECTS; hops++) {
    const headers: Record<string, string> = { ...request.headers }
    // In a browser these are its own, and a page that sets them must ask first whether it may.
    if (!inBrowser) Object.assign(headers, { 'accept-encoding': 'identity', 'user-agent': `rushlight/${version}` })
    if (token !== undefined) headers.authorization = `Bearer ${token}`
    const { method = 'GET', body } = request
    // A browser hides where a redirect leads; it follows by itself, leaving the token behind where the origin changes. What else
    // has no file system may not do that, so with a token it has to show first that it hides them.
    const redirect = inBrowser && request.abroad && token === undefined ? 'follow' : 'manual'
    const response = await (env.fetch ?? fetch)(url, { method, headers, body, signal, redirect })
    if (response.type === 'opaqueredirect' && request.abroad)
      return (env.fetch ?? fetch)(url, { method, headers, body, signal, redirect: 'follow' })
    const location = response.status >= 300 && response.status < 400 ? response.headers.get('location') : null
    if (location === null) return response
    const next = new URL(location, url)
    // A redirect that says what a file is leads to its bytes; one that does not, from a mirror to the Hub.
    const says = method !== 'HEAD' || response.headers.has('x-repo-commit')
    if (next.origin !== url.origin && !request.abroad && says) return response
    await response.body?.cancel().catch(() => {})
    if (!/^https?:$/.test(next.protocol) || (url.protocol === 'https:' && next.protocol === 'http:'))
      throw new HfHubHTTPError(
        `${request.name}: the server redirects to ${next.protocol}, which is refused`,
        response.status,
      )
    if (next.origin !== url.origin) token = undefined // nor does it come back when a redirect does
    url = next
  }
  throw new HfHubHTTPError(`${request.name}: more than ${REDIRECTS} redirects`, 0)
}

/** Milliseconds of `Retry-After`, in seconds or as a date. */
function retryAfter(response: Response): number | undefined {
  const text = response.headers.get('retry-after')
  if (text === null) return undefined
  const ms = /^\s*\d+(\.\d+)?\s*$/.test(text) ? 1000 * Number(text) : Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}

/** What a failure says, of its innermost cause (fetch's own message is `fetch failed`), without a token. */
function reasonOf(cause: unknown, token?: string): string {
  const { cause: inner, message } = cause as Error
  return redacted(inner instanceof Error && inner.message ? inner.message : (message ?? String(cause)), token)
}

function withoutToken(cause: unknown, token?: string): unknown {
  return token !== undefined && String((cause as Error)?.stack ?? cause).includes(token) ? undefined : cause
}

function redacted(text: string, token?: string): string {
  return token ? text.replaceAll(token, '[token]') : text
}

/** The error for an answer that is none. */
export function refusal(response: Response, request: HubRequest): HfHubHTTPError {
  const { status } = response
  const code = response.headers.get('x-error-code')
  const { name, token } = request
  const login = `${token === undefined ? 'log in' : 'log in with a token that may read it'} (rushlight login, or the option token, or HF_TOKEN)`
  const said = response.headers.get('x-error-message')
  const message = said === null ? '' : `: ${shown(redacted(said, token))}`
  if (code === 'GatedRepo')
    return new GatedRepoError(
      `${name}: the repository is gated: its authors ask for an agreement first. Hint: open its page on the Hub, accept what it asks, then ${login}`,
      status,
    )
  if (code === 'RevisionNotFound')
    return new RevisionNotFoundError(
      `${name}: the repository has no such revision. Hint: the option revision is a branch, a tag or a commit; without it, 'main'`,
      status,
    )
  if (code === 'EntryNotFound')
    return new EntryNotFoundError(
      `${name}: the repository has no such file. Hint: look at its page on the Hub, under Files`,
      status,
    )
  if (status === 401 && said === 'Invalid credentials in Authorization header')
    return new HfHubHTTPError(
      `${name}: the Hub does not know this token. Hint: make a new one in its settings, then rushlight login`,
      status,
    )
  if (code === 'RepoNotFound' || (code === null && status === 401))
    return new RepositoryNotFoundError(
      `${name}: the Hub has no such repository, or it is private. Hint: check the spelling; for a private one, ${login}`,
      status,
    )
  if (status === 403) return new HfHubHTTPError(`${name}: the Hub refuses access${message}. Hint: ${login}`, status)
  if (status === 429)
    return new HfHubHTTPError(
      `${name}: the Hub answers 429: too many requests${message}. Hint: wait; requests with a token have a higher limit`,
      status,
    )
  return new HfHubHTTPError(`${name}: the server answers ${status} ${response.statusText}`.trimEnd() + message, status)
}
