// A Hub of one's own: a local HTTP server that speaks the Hub's protocol, with faults on request. Large files are on a second origin.
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A file by its content. Large ones (`lfs`) are redirected to the other origin and have a sha256. */
export type HubFile = string | Uint8Array | { content: string | Uint8Array; lfs?: boolean }

export interface HubRepositoryContent {
  files: Record<string, HubFile>
  /** Other revisions: a branch or tag with the files that it has. */
  branches?: Record<string, Record<string, HubFile>>
  /** Readable with one of `tokens` only; without, the server says that there is none. */
  private?: boolean
  /** Readable with one of `tokens` only, and says so. */
  gated?: boolean
}

/** What goes wrong, and when. */
export interface HubFault {
  /** Which requests: part of the path, or all. */
  path?: string | RegExp
  method?: 'GET' | 'HEAD' | 'POST'
  /** Of the first origin ('hub'), of the second ('files'), or of both. */
  origin?: 'hub' | 'files'
  /** How many requests it befalls; all when left out. */
  times?: number
  /** Answers with this status instead. */
  status?: number
  headers?: Record<string, string>
  /** Ends the connection after so many bytes of the body. */
  dropAfter?: number
  /** Ends the connection without any answer. */
  hangUp?: boolean
  /** Milliseconds before the answer. */
  wait?: number
  /** Milliseconds between pieces of 16 KiB of the body. */
  slow?: number
  /** Sends these bytes in place of the file's (of another length, or with another hash). */
  content?: Uint8Array
  /** Answers to a range with the whole (200), with another range, or with 416. */
  range?: 'ignored' | 'wrong' | 'refused'
  /** Leaves headers out, by lower-case name. */
  without?: string[]
  /** Redirects elsewhere. */
  redirect?: string
}

export interface HubRequestRecord {
  method: string
  path: string
  origin: 'hub' | 'files'
  headers: IncomingMessage['headers']
  status: number
}

export interface Hub {
  url: string
  /** The origin that large files come from. */
  files: string
  /** Every request, in order. */
  requests: HubRequestRecord[]
  faults: HubFault[]
  /** The commit of a revision ('main' without). */
  commit(repository: string, revision?: string): string
  close(): Promise<void>
}

interface Blob {
  bytes: Buffer
  lfs: boolean
  sha256: string
  /** Of git. */
  oid: string
}

interface Revision {
  commit: string
  files: Map<string, Blob>
}

const TOKEN_NAMES: Record<string, string> = { hf_test: 'tester' }

/** Starts the server on two free ports. `tokens` names the users by their tokens. */
export async function startHub({
  repositories,
  faults = [],
  tokens = TOKEN_NAMES,
}: {
  repositories: Record<string, HubRepositoryContent>
  faults?: HubFault[]
  tokens?: Record<string, string>
}): Promise<Hub> {
  const contents = new Map(Object.entries(repositories).map(([name, one]) => [name, revisionsOf(name, one)]))
  const blobs = new Map<string, Blob>()
  for (const revisions of contents.values())
    for (const { files } of revisions.values()) for (const blob of files.values()) blobs.set(blob.sha256, blob)
  const requests: HubRequestRecord[] = []
  const hub: Hub = {
    url: '',
    files: '',
    requests,
    faults,
    commit: (repository, revision = 'main') => contents.get(repository)!.get(revision)!.commit,
    async close() {
      await Promise.all(servers.map(stop))
    },
  }

  const handle = (origin: 'hub' | 'files') => async (request: IncomingMessage, response: ServerResponse) => {
    const { method = 'GET', headers } = request
    const path = new URL(request.url!, 'http://localhost').pathname
    const record: HubRequestRecord = { method, path, origin, headers, status: 0 }
    requests.push(record)
    response.on('close', () => (record.status = response.statusCode))
    const fault = takeFault(faults, record)
    if (fault.wait) await new Promise((resolve) => setTimeout(resolve, fault.wait))
    if (fault.hangUp) return void request.socket.destroy()
    const left = new Set(fault.without)
    const send = (status: number, values: Record<string, string | number> = {}, body: string | Buffer = '') => {
      const all = Object.entries({ ...values, ...fault.headers }).filter(([key]) => !left.has(key.toLowerCase()))
      if (left.has('content-length')) response.useChunkedEncodingByDefault = true
      response.writeHead(status, [...cors(), ...all.map(([key, value]) => [key, String(value)])].flat())
      response.end(method === 'HEAD' ? undefined : body)
    }
    if (fault.status) return send(fault.status, {}, 'out of order')
    if (fault.redirect) return send(302, { location: fault.redirect })
    if (method === 'OPTIONS') return send(204)
    const user = tokens[headers.authorization?.replace(/^Bearer /, '') ?? '']
    if (headers.authorization && !user && origin === 'hub')
      return send(401, { 'x-error-message': 'Invalid credentials in Authorization header' })

    if (origin === 'files') {
      const blob = blobs.get(path.slice(1))
      return blob ? sendBlob(request, response, blob, fault, {}) : send(404)
    }
    if (path === '/api/whoami-v2')
      return user ? sendJson(send, { type: 'user', name: user, auth: { type: 'access_token' } }) : send(401)

    const api = path.startsWith('/api/models/')
    const parts = path.slice(api ? '/api/models/'.length : 1).split('/')
    const owned = contents.has(parts[0]) ? 1 : 2 // parts of the repository's name
    const name = parts.slice(0, owned).join('/')
    const found = contents.get(name)
    const { private: secret, gated } = repositories[name] ?? {}
    if (!found || (secret && !user)) return send(user ? 404 : 401, { 'x-error-code': 'RepoNotFound' })
    const [verb = '', asked = 'main', ...tail] = parts.slice(owned)
    const revision = revisionOf(found, decodeURIComponent(asked))
    if (!revision) return send(404, { 'x-error-code': 'RevisionNotFound', 'x-error-message': 'Invalid rev id' })
    const file = tail.map(decodeURIComponent).join('/')
    const { commit, files } = revision
    if (api) {
      if (verb === '' || verb === 'revision')
        return sendJson(send, {
          id: name,
          sha: commit,
          siblings: [...files.keys()].map((rfilename) => ({ rfilename })),
        })
      if (verb === 'tree') return sendJson(send, [...files].map(entryOf))
      if (verb === 'paths-info') {
        const { paths } = JSON.parse(await bodyOf(request)) as { paths: string[] }
        return sendJson(
          send,
          paths.filter((one) => files.has(one)).map((one) => entryOf([one, files.get(one)!])),
        )
      }
      return send(404)
    }
    if (verb !== 'resolve') return send(404)
    if (gated && !user)
      return send(401, { 'x-error-code': 'GatedRepo', 'x-error-message': `Access to model ${name} is restricted.` })
    const blob = files.get(file)
    if (!blob) return send(404, { 'x-error-code': 'EntryNotFound', 'x-repo-commit': commit })
    if (!blob.lfs) return sendBlob(request, response, blob, fault, { 'x-repo-commit': commit, etag: `"${blob.oid}"` })
    return send(302, {
      location: `${hub.files}/${blob.sha256}?signature=secret`,
      'x-repo-commit': commit,
      etag: `"${blob.oid}"`,
      'x-linked-etag': `"${blob.sha256}"`,
      'x-linked-size': blob.bytes.length,
    })
  }

  const servers = await Promise.all(
    (['hub', 'files'] as const).map(async (origin) => {
      const server = createServer((request, response) => {
        handle(origin)(request, response).catch((error) => response.destroy(error))
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      if (origin === 'hub') hub.url = url
      else hub.files = url
      return server
    }),
  )
  return hub
}

/** What lets pages of other origins read, as the Hub does. */
function cors(): [string, string][] {
  return [
    ['access-control-allow-origin', '*'],
    ['access-control-allow-headers', 'authorization, content-type, range'],
    ['access-control-allow-methods', 'GET, HEAD, POST'],
    ['access-control-expose-headers', 'X-Repo-Commit, X-Error-Code, X-Error-Message, ETag, Content-Range'],
  ]
}

function sendJson(send: (status: number, headers: Record<string, string>, body: string) => void, value: unknown): void {
  send(200, { 'content-type': 'application/json' }, JSON.stringify(value))
}

function entryOf([path, { bytes, lfs, sha256, oid }]: [string, Blob]): object {
  return {
    type: 'file',
    oid,
    size: bytes.length,
    path,
    ...(lfs && { lfs: { oid: sha256, size: bytes.length, pointerSize: 134 } }),
  }
}

/** Sends a file or a range of it, as well as the fault lets it. */
async function sendBlob(
  request: IncomingMessage,
  response: ServerResponse,
  { bytes }: Blob,
  fault: HubFault,
  values: Record<string, string>,
): Promise<void> {
  const all = fault.content ? Buffer.from(fault.content) : bytes
  let [status, begin, end] = [200, 0, all.length]
  const headers: Record<string, string> = {
    ...values,
    'accept-ranges': 'bytes',
    'content-type': 'application/octet-stream',
  }
  const range = request.headers.range?.match(/^bytes=(\d+)-(\d*)$/)
  if (range && fault.range !== 'ignored') {
    begin = Number(range[1])
    if (range[2]) end = Math.min(end, Number(range[2]) + 1)
    status = begin >= end || fault.range === 'refused' ? 416 : 206
    if (fault.range === 'wrong') begin += 7
    headers['content-range'] = status === 416 ? `bytes */${all.length}` : `bytes ${begin}-${end - 1}/${all.length}`
    if (status === 416) begin = end
  }
  headers['content-length'] = String(end - begin)
  const left = Object.entries({ ...headers, ...fault.headers }).filter(
    ([key]) => !fault.without?.includes(key.toLowerCase()),
  )
  response.writeHead(status, [...cors(), ...left].flat())
  if (request.method === 'HEAD' || status === 416) return void response.end()
  const piece = fault.slow === undefined ? 1 << 20 : 1 << 14
  for (let at = begin; at < end && !response.destroyed; at += piece) {
    const stop = Math.min(at + piece, end, begin + (fault.dropAfter ?? Number.POSITIVE_INFINITY))
    await new Promise<void>((resolve) => response.write(all.subarray(at, stop), () => resolve()))
    if (fault.slow) await new Promise((resolve) => setTimeout(resolve, fault.slow))
    if (fault.dropAfter !== undefined && stop - begin >= fault.dropAfter) {
      await new Promise((resolve) => setTimeout(resolve, 5)) // lets what was written out
      return void request.socket.destroy()
    }
  }
  response.end()
}

/** The first fault that befalls a request; it counts down. */
function takeFault(faults: HubFault[], { method, path, origin }: HubRequestRecord): HubFault {
  const index = faults.findIndex(
    (fault) =>
      (fault.path === undefined ||
        (typeof fault.path === 'string' ? path.includes(fault.path) : fault.path.test(path))) &&
      (fault.method === undefined || fault.method === method) &&
      (fault.origin === undefined || fault.origin === origin),
  )
  if (index < 0) return {}
  const fault = faults[index]
  if (fault.times !== undefined && --fault.times <= 0) faults.splice(index, 1)
  return fault
}

function revisionsOf(name: string, { files, branches = {} }: HubRepositoryContent): Map<string, Revision> {
  return new Map(
    Object.entries({ main: files, ...branches }).map(([branch, content]) => {
      const blobs = new Map(Object.entries(content).map(([file, one]) => [file, blobOf(one)]))
      const commit = createHash('sha1').update(name)
      for (const [file, { sha256 }] of blobs) commit.update(`${file} ${sha256}`)
      return [branch, { commit: commit.digest('hex'), files: blobs }]
    }),
  )
}

function blobOf(file: HubFile): Blob {
  const { content, lfs = false } = typeof file === 'string' || file instanceof Uint8Array ? { content: file } : file
  const bytes =
    typeof content === 'string'
      ? Buffer.from(content)
      : Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const oid = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
  return { bytes, lfs, sha256, oid }
}

function revisionOf(revisions: Map<string, Revision>, asked: string): Revision | undefined {
  return revisions.get(asked) ?? [...revisions.values()].find(({ commit }) => commit === asked)
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const piece of request) text += piece
  return text
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
