// A model repository: a folder of files by relative name, wherever it is.
import { FileError, FileFormatError, shown } from '../util/errors.ts'
import { parseJson } from '../util/json.ts'
import { builtin } from '../util/platform.ts'
import { blobSource, type ByteSource, bytesSource, decodeUtf8, fileError, openFile, readBytes } from './source.ts'

/** Text files of a repository (configs, tokenizers, indexes) are read whole, up to this many bytes. */
const TEXT_LIMIT = 1 << 28

export abstract class Repository {
  /** @param name what errors call it */
  constructor(readonly name: string) {}

  /** Whether there is such a file. */
  async has(file: string): Promise<boolean> {
    return this.find(checkFileName(this.name, file))
  }

  /** Bytes of a file, without reading (or downloading) it where that can be. @throws FileError when there is none */
  async size(file: string): Promise<number> {
    return this.measure(checkFileName(this.name, file))
  }

  /** The names of all files. */
  abstract list(): Promise<string[]>

  /** Opens a file for reading by position. @throws FileError when there is none */
  async open(file: string): Promise<ByteSource> {
    return this.source(checkFileName(this.name, file))
  }

  /** A file as text. @throws FileFormatError when it is not UTF-8 */
  async text(file: string): Promise<string> {
    const source = await this.open(file)
    try {
      if (source.size > TEXT_LIMIT)
        throw new FileFormatError(source.name, 'file size', `a text of at most ${TEXT_LIMIT} bytes`, `${source.size}`)
      return decodeUtf8(await readBytes(source, 0, source.size), source.name, 'text')
    } finally {
      await source.close()
    }
  }

  /** A file as JSON; `Infinity`, which Python writes, is understood. @throws FileFormatError when it is not JSON */
  async json(file: string): Promise<unknown> {
    const text = await this.text(file)
    try {
      return parseJson(text)
    } catch (cause) {
      throw new FileFormatError(this.nameOf(file), 'text', 'JSON', (cause as Error).message)
    }
  }

  protected nameOf(file: string): string {
    return `${this.name}/${file}`
  }

  protected async measure(file: string): Promise<number> {
    const source = await this.source(file)
    await source.close()
    return source.size
  }

  protected abstract find(file: string): Promise<boolean>
  protected abstract source(file: string): Promise<ByteSource>
}

/** The name itself, when it cannot lead out of the repository: names come from files (shard indexes, configs) and servers too. */
export function checkFileName(repository: string, file: string): string {
  if (!/^[^\\:\0]+$/.test(file) || file.split('/').some((part) => part === '' || part === '.' || part === '..'))
    throw new FileError(
      `${repository}: ${shown(file)} is not the name of a file in a repository. Hint: names are relative, with / and without ..`,
    )
  return file
}

/** A directory of the local file system (Node, Deno, Bun). */
export class LocalRepository extends Repository {
  private readonly directory: string

  /** @throws FileError when it is not a directory */
  constructor(directory: string) {
    super(directory.replace(/(?<=.)\/+$/, ''))
    this.directory = this.name
    const fs = builtin('node:fs')
    if (!fs) throw new FileError(`${directory}: there is no file system here`)
    let isDirectory: boolean
    try {
      isDirectory = fs.statSync(directory).isDirectory()
    } catch (cause) {
      throw fileError(directory, 'opened', cause)
    }
    if (!isDirectory)
      throw new FileError(
        `${directory}: expected a directory, found a file. Hint: a model is a directory, or a .gguf file`,
      )
  }

  protected async find(file: string): Promise<boolean> {
    return builtin('node:fs')!.existsSync(`${this.directory}/${file}`)
  }

  override async list(): Promise<string[]> {
    const fs = builtin('node:fs')!
    return fs
      .readdirSync(this.directory, { recursive: true, encoding: 'utf8' })
      .filter((file) => fs.statSync(`${this.directory}/${file}`, { throwIfNoEntry: false })?.isFile())
      .map((file) => file.replaceAll('\\', '/'))
      .sort()
  }

  protected source(file: string): Promise<ByteSource> {
    return openFile(`${this.directory}/${file}`)
  }
}

/** Files given one by one, such as those of a browser's directory picker. */
export class MemoryRepository extends Repository {
  private readonly files: Map<string, Blob | Uint8Array>

  constructor(files: Iterable<[file: string, content: Blob | Uint8Array | string]>, name = 'memory') {
    super(name)
    this.files = new Map(
      [...files].map(([file, content]) => [
        file,
        typeof content === 'string' ? new TextEncoder().encode(content) : content,
      ]),
    )
  }

  protected async find(file: string): Promise<boolean> {
    return this.files.has(file)
  }

  override async list(): Promise<string[]> {
    return [...this.files.keys()].sort()
  }

  protected async source(file: string): Promise<ByteSource> {
    const content = this.files.get(file)
    if (!content) throw new FileError(`${this.nameOf(file)}: no such file`)
    return content instanceof Blob ? blobSource(content, this.nameOf(file)) : bytesSource(content, this.nameOf(file))
  }
}
