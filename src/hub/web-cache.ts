// The cache of a browser: Cache Storage, or whatever has its `match` and `put`. Keys are the addresses of files at their commits.
import { blobSource, type ByteSource, fileError } from '../io/source.ts'
import { type Download, type HubCache, Verifier } from './cache.ts'
import { isCommit } from './names.ts'
import { apiUrl, resolveUrl } from './remote.ts'
import type { CustomCache } from './settings.ts'

export class WebCache implements HubCache {
  constructor(private readonly storage: CustomCache) {}

  async commitOf(repository: string, revision: string): Promise<string | undefined> {
    const text = await (await this.match(refKey(repository, revision)))?.text()
    return text !== undefined && isCommit(text) ? text : undefined
  }

  async remember(repository: string, revision: string, commit: string): Promise<void> {
    if (revision !== commit && (await this.commitOf(repository, revision)) !== commit)
      await this.put(repository, refKey(repository, revision), new Response(commit))
  }

  async sizeOf(repository: string, commit: string, file: string): Promise<number | undefined> {
    const response = await this.match(resolveUrl({ repository, revision: commit, file }))
    if (!response) return undefined
    const length = response.headers.get('content-length')
    if (length === null) return (await response.blob()).size
    await response.body?.cancel().catch(() => {})
    return Number(length)
  }

  async open(repository: string, commit: string, file: string): Promise<ByteSource | undefined> {
    const response = await this.match(resolveUrl({ repository, revision: commit, file }))
    return response && blobSource(await response.blob(), `${repository}/${file}`)
  }

  /** Absent files are not kept here: the list of a repository's files comes with its commit. */
  async isMissing(): Promise<boolean> {
    return false
  }

  async setMissing(): Promise<void> {}

  async list(): Promise<string[]> {
    return [] // what has `match` and `put` alone cannot be listed
  }

  async add({ repository, file, metadata, bytes, progress }: Download): Promise<void> {
    const name = `${repository}/${file}`
    const verifier = new Verifier(name, metadata)
    const source = bytes(0)
    let failure: unknown
    // A body that fails is not stored, so a file is there whole or not at all.
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        try {
          const { value, done } = await source.next()
          if (done) {
            verifier.finish()
            controller.close()
          } else {
            verifier.update(value)
            progress(verifier.length)
            controller.enqueue(value)
          }
        } catch (error) {
          failure = error
          controller.error(error)
        }
      },
      async cancel() {
        await source.return(undefined)
      },
    })
    const headers: Record<string, string> = { etag: `"${metadata.etag}"`, 'content-type': 'application/octet-stream' }
    if (metadata.size !== undefined) headers['content-length'] = String(metadata.size)
    try {
      await this.storage.put(
        resolveUrl({ repository, revision: metadata.commit, file }),
        new Response(body, { headers }),
      )
    } catch (cause) {
      throw failure ?? fileError(name, 'kept in the cache', cause)
    } finally {
      await source.return(undefined)
    }
    if (failure) throw failure
  }

  private async match(key: string): Promise<Response | undefined> {
    return (await this.storage.match(key)) ?? undefined
  }

  private async put(name: string, key: string, response: Response): Promise<void> {
    try {
      await this.storage.put(key, response)
    } catch (cause) {
      throw fileError(name, 'kept in the cache', cause)
    }
  }
}

function refKey(repository: string, revision: string): string {
  return apiUrl(repository, `revision/${encodeURIComponent(revision)}`)
}

/** Keeps files in memory, as Blobs, where there is neither a file system nor Cache Storage. */
export class MemoryStorage implements CustomCache {
  private readonly kept = new Map<string, Blob>()

  async match(request: string): Promise<Response | undefined> {
    const blob = this.kept.get(request)
    return blob && new Response(blob)
  }

  async put(request: string, response: Response): Promise<void> {
    this.kept.set(request, await response.blob())
  }
}
