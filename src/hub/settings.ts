// Where the Hub and its cache are: the environment variables of Python's huggingface_hub, and transformers.js's `env`.
import { UnsupportedOptionError } from '../util/errors.ts'
import { builtin, environment } from '../util/platform.ts'
import { version } from '../version.ts'

/** A cache that a program brings: what Cache Storage has. Keys are URLs. */
export interface CustomCache {
  match(request: string): Promise<Response | undefined>
  put(request: string, response: Response): Promise<void>
  delete?(request: string): Promise<boolean>
}

const isTrue = (name: string) => /^(1|on|yes|true)$/i.test(environment(name) ?? '')

/** A path as Python reads it: ~ and $NAME are replaced. */
function expanded(path: string): string {
  const home = builtin('node:os')?.homedir() ?? ''
  return path
    .replace(/^~(?=$|[\\/])/, () => home)
    .replace(/\$(?:(\w+)|\{([^}]*)\})/g, (whole, bare, braced) => environment(bare ?? braced) ?? whole)
    .replace(/(?<=.)[\\/]+$/, '')
}

/** Hugging Face's directory of this user: `HF_HOME`, else huggingface in `XDG_CACHE_HOME` or ~/.cache. */
export function hubHome(): string {
  return expanded(environment('HF_HOME') ?? `${environment('XDG_CACHE_HOME') ?? '~/.cache'}/huggingface`)
}

/** The directory that holds downloaded repositories: `HF_HUB_CACHE`, else hub in `hubHome()`. */
export function hubCacheDirectory(): string {
  return expanded(environment('HF_HUB_CACHE') ?? environment('HUGGINGFACE_HUB_CACHE') ?? `${hubHome()}/hub`)
}

/** The file that a login writes the token to. */
export function tokenPath(): string {
  return expanded(environment('HF_TOKEN_PATH') ?? `${hubHome()}/token`)
}

/** Whether the environment forbids asking the Hub. */
export function isOffline(): boolean {
  return isTrue(environment('HF_HUB_OFFLINE') ? 'HF_HUB_OFFLINE' : 'TRANSFORMERS_OFFLINE') || !env.allowRemoteModels
}

/** Whether the token file and `HF_TOKEN` are to be left alone unless the caller asks for them. */
export function implicitTokenDisabled(): boolean {
  return isTrue('HF_HUB_DISABLE_IMPLICIT_TOKEN')
}

export function symlinksDisabled(): boolean {
  return isTrue('HF_HUB_DISABLE_SYMLINKS')
}

/** Milliseconds that the Hub has for an answer about a file (`HF_HUB_ETAG_TIMEOUT`, in seconds). */
export function metadataTimeout(): number {
  return 1000 * (Number(environment('HF_HUB_ETAG_TIMEOUT')) || 10)
}

/** Milliseconds without a byte after which a download counts as cut (`HF_HUB_DOWNLOAD_TIMEOUT`, in seconds). */
export function downloadTimeout(): number {
  return 1000 * (Number(environment('HF_HUB_DOWNLOAD_TIMEOUT')) || 10)
}

/** Whether there is no file system: what surrounds us is a browser, or like one. */
export const inBrowser = builtin('node:fs') === undefined
const withSlash = (url: string) => url.replace(/\/*$/, '/')
let remoteHost: string | undefined
let cacheDir: string | undefined

/** The settings that transformers.js has under this name. They count from the next call on; setting one that there is not throws. */
export const env = Object.preventExtensions({
  /** rushlight's version. */
  version,
  /** Whether files may be downloaded; without, only the cache and local directories are read. */
  allowRemoteModels: true,
  /** The Hub: `HF_ENDPOINT`, else https://huggingface.co/. */
  get remoteHost(): string {
    return withSlash(remoteHost ?? environment('HF_ENDPOINT') ?? 'https://huggingface.co')
  },
  set remoteHost(url: string) {
    remoteHost = url
  },
  /** Where a file's directory is under the host. */
  remotePathTemplate: '{model}/resolve/{revision}/',
  /** Whether names are looked for under `localModelPath` first. In a browser that is a request to the page's own server. */
  allowLocalModels: !inBrowser,
  /** A directory (in a browser: a URL) with models by name. */
  localModelPath: '/models/',
  /** The cache on disk, shared with Python: `HF_HUB_CACHE` and its relatives. */
  get cacheDir(): string {
    return cacheDir ?? hubCacheDirectory()
  },
  set cacheDir(path: string) {
    cacheDir = expanded(path)
  },
  /** Whether there is a file system to keep downloads in. */
  useFSCache: !inBrowser,
  /** Whether a browser keeps downloads in Cache Storage. */
  useBrowserCache: true,
  /** The name of that cache. */
  cacheKey: 'rushlight-cache',
  /** Whether `customCache` keeps downloads, in place of the others. */
  useCustomCache: false,
  customCache: null as CustomCache | null,
  /** In place of the global fetch. */
  fetch: undefined as typeof fetch | undefined,
  /** How often a failing request is made again, and the milliseconds between: doubled each time, never above the most. */
  retries: { attempts: 5, base: 1000, most: 8000 },
  /** transformers.js's way to ONNX Runtime. @throws UnsupportedOptionError */
  get backends(): never {
    throw new UnsupportedOptionError(
      'env.backends: there is no ONNX Runtime here. Hint: init({ threads }) sets the threads',
    )
  },
})

/** The Hub's address, without a slash at its end. */
export function endpoint(): string {
  return env.remoteHost.replace(/\/+$/, '')
}
