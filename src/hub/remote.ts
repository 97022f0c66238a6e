// A file on the Hub: what there is to know of it without its bytes, and its bytes from any position on, however often the connection is cut.
import { CorruptDownloadError, EntryNotFoundError, FileMetadataError, HfHubHTTPError } from './errors.ts'
import { type Answer, ask, attempt, Backoff, type HubRequest, Interruption, refusal } from './http.ts'
import { blobName, checkedCommit, isCommit } from './names.ts'
import { downloadTimeout, endpoint, env, inBrowser, metadataTimeout } from './settings.ts'

/** A file at a revision of a repository, and who asks for it. */
export interface RemoteFile {
  repository: string
  revision: string
  file: string
  token?: string
  signal?: AbortSignal
}

/** What a cache must know of a file before its bytes come. */
export interface FileMetadata {
  commit: string
  /** The blob's name: the etag as Python writes it. */
  etag: string
  /** Undefined where the server does not say. */
  size?: number
  /** Of files in large file storage: lower-case hexadecimal. */
  sha256?: string
}

const encodedPath = (path: string) => path.split('/').map(encodeURIComponent).join('/')

/** The address of a file. */
export function resolveUrl({ repository, revision, file }: RemoteFile): string {
  const folder = env.remotePathTemplate
    .replaceAll('{model}', encodedPath(repository))
    .replaceAll('{revision}', encodeURIComponent(revision))
  return `${endpoint()}/${folder.replace(/^\/+|\/+$/g, '')}/${encodedPath(file)}`
}

/** The address of what the Hub says about a repository. */
export function apiUrl(repository: string, rest: string): string {
  return `${endpoint()}/api/models/${encodedPath(repository)}/${rest}`
}

function nameOf({ repository, revision, file }: RemoteFile): string {
  return `${repository}/${file}${revision === 'main' || isCommit(revision) ? '' : ` at ${revision}`}`
}

/** Answers a request about a repository. @throws HfHubHTTPError and its kinds */
export async function askApi(
  repository: string,
  rest: string,
  { token, signal, body, attempts }: { token?: string; signal?: AbortSignal; body?: unknown; attempts?: number },
): Promise<{ value: unknown; link: string | null }> {
  const request: HubRequest = { name: repository, token, signal, timeout: metadataTimeout() }
  if (body !== undefined)
    Object.assign(request, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
  const answer = await ask(apiUrl(repository, rest), request, attempts)
  if (!answer.response.ok) return refuse(answer, request)
  return { value: await answer.json(), link: answer.response.headers.get('link') }
}

async function refuse(answer: Answer, request: HubRequest): Promise<never> {
  await answer.close()
  throw refusal(answer.response, request)
}

/** A file that is not there, with the commit that does not have it. */
export interface MissingFile {
  commit?: string
  error: EntryNotFoundError
}

/**
 * What the Hub says of a file: by a HEAD request, or where redirects hide their headers (a browser), by its API.
 * @throws HfHubHTTPError and its kinds but for a missing file, which is returned
 */
export async function metadataOf(remote: RemoteFile, attempts?: number): Promise<FileMetadata | MissingFile> {
  const request: HubRequest = {
    method: 'HEAD',
    name: nameOf(remote),
    token: remote.token,
    signal: remote.signal,
    timeout: metadataTimeout(),
  }
  const answer = await ask(resolveUrl(remote), request, attempts)
  await answer.close()
  const { response } = answer
  const { headers, status } = response
  if (response.type === 'opaqueredirect') return metadataByApi(remote, request.name, attempts)
  if (status >= 400) {
    const error = refusal(response, request)
    const commit = headers.get('x-repo-commit')
    if (error instanceof EntryNotFoundError)
      return { error, ...(commit !== null && { commit: checkedCommit(commit, request.name) }) }
    throw error
  }
  const commit = checkedCommit(headers.get('x-repo-commit'), request.name)
  const linked = headers.get('x-linked-etag')
  const etag = blobName(linked ?? headers.get('etag'), request.name)
  const redirected = status >= 300
  const length =
    headers.get('x-linked-size') ?? (redirected || encodingIsHidden(headers) ? null : headers.get('content-length'))
  const size = length !== null && /^\d+$/.test(length) ? Number(length) : undefined
  return { commit, etag, size, ...(linked !== null && /^[0-9a-f]{64}$/.test(etag) && { sha256: etag }) }
}

/** Whether a length may be that of a compressed body: a browser asks for compression, and does not show that it came. */
function encodingIsHidden(headers: Headers): boolean {
  return inBrowser || headers.has('content-encoding')
}

async function metadataByApi(remote: RemoteFile, name: string, attempts?: number): Promise<FileMetadata | MissingFile> {
  const { repository, revision, file } = remote
  const options = { token: remote.token, signal: remote.signal, attempts }
  const commit = isCommit(revision) ? revision : (await revisionInfo(remote, attempts)).commit
  const { value } = await askApi(repository, `paths-info/${commit}`, {
    ...options,
    body: { paths: [file], expand: false },
  })
  const entry = (Array.isArray(value) ? value : []).find((one) => one?.path === file && one?.type === 'file')
  if (!entry) return { commit, error: new EntryNotFoundError(`${name}: the repository has no such file`, 404) }
  const { oid, size, lfs } = entry as {
    oid?: string
    size?: number
    lfs?: { oid?: string; sha256?: string; size?: number }
  }
  const sha256 = lfs?.oid ?? lfs?.sha256
  return {
    commit,
    etag: blobName(sha256 ?? oid, name),
    size: lfs?.size ?? size,
    ...(sha256 && /^[0-9a-f]{64}$/.test(sha256) && { sha256 }),
  }
}

/** The commit of a revision, and the names of its files. */
export async function revisionInfo(
  { repository, revision, token, signal }: Omit<RemoteFile, 'file'>,
  attempts?: number,
): Promise<{ commit: string; files: string[] }> {
  const { value } = await askApi(repository, `revision/${encodeURIComponent(revision)}`, { token, signal, attempts })
  const { sha, siblings } = (value ?? {}) as { sha?: string; siblings?: { rfilename?: string }[] }
  const commit = checkedCommit(sha, repository)
  if (!Array.isArray(siblings))
    throw new FileMetadataError(`${repository}: the server's answer has no list of files (siblings)`)
  return { commit, files: siblings.map((one) => String(one?.rfilename)) }
}

/**
 * The bytes of a file from `from` on. A cut connection is taken up where it broke, by a range where the server gives one; the
 * bytes that were had are skipped where it does not.
 * @throws HfHubHTTPError when attempts without progress are used up, CorruptDownloadError when there are more bytes than there should be
 */
export async function* remoteBytes(remote: RemoteFile, size: number | undefined, from = 0): AsyncGenerator<Uint8Array> {
  const url = resolveUrl(remote)
  const request: HubRequest = {
    name: nameOf(remote),
    token: remote.token,
    signal: remote.signal,
    timeout: downloadTimeout(),
    abroad: true,
  }
  const backoff = new Backoff(remote.signal)
  let at = from
  let ranges = true // whether the server is still trusted with them
  let whole = size
  for (;;) {
    if (at === whole && at > 0) return
    try {
      const headers: Record<string, string> = at > 0 && ranges ? { range: `bytes=${at}-` } : {}
      const answer = await attempt(url, { ...request, headers })
      try {
        const { response } = answer
        const begin = beginOf(response, whole)
        if (response.status === 416 || (response.ok && (begin === undefined || begin > at))) {
          if (!ranges) throw refusal(response, request)
          ranges = false
          continue
        }
        if (!response.ok) throw refusal(response, request)
        const told = encodingIsHidden(response.headers) ? null : response.headers.get('content-length')
        const end = told === null || Number.isNaN(Number(told)) ? undefined : begin! + Number(told)
        if (whole !== undefined && end !== undefined && end !== whole)
          throw new Interruption(wrongLength(request.name, whole, end))
        whole ??= end
        let skip = at - begin!
        for await (const chunk of answer.chunks()) {
          const fresh = skip >= chunk.length ? undefined : chunk.subarray(skip)
          skip = Math.max(0, skip - chunk.length)
          if (!fresh) continue
          at += fresh.length
          if (whole !== undefined && at > whole) throw wrongLength(request.name, whole, at)
          backoff.reset()
          yield fresh
        }
        if (whole !== undefined && at < whole) throw new Interruption(wrongLength(request.name, whole, at))
        return
      } finally {
        await answer.close()
      }
    } catch (failure) {
      await backoff.again(failure)
    }
  }
}

/** The position of an answer's first byte; undefined when it contradicts what is known of the file. */
function beginOf(response: Response, size: number | undefined): number | undefined {
  if (response.status !== 206) return 0
  const [, begin, total] = response.headers.get('content-range')?.match(/^bytes (\d+)-\d+\/(\d+|\*)$/) ?? []
  if (begin === undefined || (size !== undefined && total !== '*' && Number(total) !== size)) return undefined
  return Number(begin)
}

function wrongLength(name: string, expected: number, found: number): CorruptDownloadError {
  return new CorruptDownloadError(
    `${name}: expected ${expected} bytes, found ${found}${found < expected ? ': the transfer was cut' : ''}. Hint: try again; if it stays so, what stands between (a proxy, a mirror) changes files`,
  )
}

/** Whether a request failed because the Hub could not be reached or is out of order, so that a cache may answer in its place. */
export function isOutage(error: unknown): boolean {
  return (
    error instanceof HfHubHTTPError &&
    (error.status === 0 || error.status >= 500 || error.status === 429 || error.status === 408)
  )
}
