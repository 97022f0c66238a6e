// A folder of a web server as a Repository: what a browser has in place of local directories.
import { Repository } from '../io/repository.ts'
import { type ByteSource, openUrl } from '../io/source.ts'
import { FileError } from '../util/errors.ts'
import { env } from './settings.ts'

export class ServedRepository extends Repository {
  /** @param url of the folder, without a slash at its end */
  constructor(private readonly url: string) {
    super(url)
  }

  protected async find(file: string): Promise<boolean> {
    try {
      return (await (env.fetch ?? fetch)(`${this.url}/${file}`, { method: 'HEAD' })).ok
    } catch {
      return false // no such server, or none that may be asked
    }
  }

  protected source(file: string): Promise<ByteSource> {
    return openUrl(new URL(`${this.url}/${file}`, globalThis.location?.href), { fetch: env.fetch })
  }

  override async list(): Promise<string[]> {
    throw new FileError(`${this.url}: a web server does not list its files. Hint: name the file`)
  }
}
