// A file's progress, told to the caller's function or drawn on the terminal.
import { progressBars, type ProgressCallback } from '../util/progress.ts'

/** Milliseconds between two `progress` events of a file. */
const INTERVAL = 50

type Files = Record<string, { loaded: number; total: number }>

/** What each callback has been told of the files of each repository, for `progress_total`. */
const told = new WeakMap<ProgressCallback, Map<string, Files>>()

function filesOf(callback: ProgressCallback, name: string): Files {
  if (!told.has(callback)) told.set(callback, new Map())
  return told.get(callback)!.get(name) ?? {}
}

const percent = ({ loaded, total }: { loaded: number; total: number }) => (total === 0 ? 100 : (100 * loaded) / total)

/** Follows one file from the question whether it is there to its last byte. */
export class Tracker {
  private told = 0
  private bar: { update(loaded: number, total: number | undefined): void; end(): void } | undefined

  constructor(
    private readonly name: string,
    private readonly file: string,
    private readonly callback: ProgressCallback | undefined,
  ) {
    this.tell('initiate')
  }

  /** A download begins. */
  begin(): void {
    this.bar = this.callback ? undefined : progressBars()?.add(this.file)
    this.tell('download')
  }

  update(loaded: number, total: number | undefined): void {
    this.bar?.update(loaded, total)
    const now = Date.now()
    if (!this.callback || (loaded !== total && now - this.told < INTERVAL)) return
    this.told = now
    const { name, file } = this
    const own = { loaded, total: total ?? loaded }
    const files = { ...filesOf(this.callback, name), [file]: own }
    told.get(this.callback)!.set(name, files)
    const sum = { loaded: 0, total: 0 }
    for (const one of Object.values(files)) {
      sum.loaded += one.loaded
      sum.total += one.total
    }
    this.callback({ status: 'progress_total', name, progress: percent(sum), ...sum, files })
    this.callback({ status: 'progress', name, file, progress: percent(own), ...own })
  }

  /** The file can be read. One that was there already is told of as if it had come at once. */
  done(size: number, cached: boolean): void {
    if (cached) {
      this.tell('download')
      this.update(size, size)
    }
    this.bar?.end()
    this.tell('done')
  }

  /** It did not come. */
  fail(): void {
    this.bar?.end()
  }

  private tell(status: 'initiate' | 'download' | 'done'): void {
    this.callback?.({ status, name: this.name, file: this.file })
  }
}
