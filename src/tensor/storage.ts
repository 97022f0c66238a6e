// A piece of the heap that tensors look at. Counted by tensors, by the tape and by owners; users see no counts.
import { alloc, free } from '../wasm/index.ts'

export class Storage {
  /** Raised by every in-place change, so that backward can tell a saved tensor that was changed. */
  version = 0
  private refs = 1
  private at: number | undefined

  private constructor(
    readonly bytes: number,
    private readonly label: string,
    private initialize?: (storage: Storage) => void,
  ) {}

  /** New memory, not cleared. `label` is named when memory runs out. */
  static allocate(bytes: number, label: string): Storage {
    const storage = new Storage(bytes, label)
    storage.at = alloc(bytes, label)
    return storage
  }

  /** Memory that appears, filled by `initialize`, when it is first looked at: a parameter that may yet be loaded from a file. */
  static lazy(bytes: number, label: string, initialize: (storage: Storage) => void): Storage {
    return new Storage(bytes, label, initialize)
  }

  /** Address in the heap. */
  get ptr(): number {
    if (this.at !== undefined) return this.at
    const { initialize } = this
    const at = alloc(this.bytes, this.label)
    this.at = at
    this.initialize = undefined
    try {
      initialize?.(this)
    } catch (error) {
      // As if it had never been looked at, lest the next look find what nobody has filled.
      free(at)
      this.at = undefined
      this.initialize = initialize
      throw error
    }
    return at
  }

  /** Whether it has memory yet. */
  get materialized(): boolean {
    return this.at !== undefined
  }

  /** Whether one holder alone has it, so that it may be written to without anyone noticing. */
  get exclusive(): boolean {
    return this.refs === 1
  }

  retain(): this {
    this.refs++
    return this
  }

  release(): void {
    if (--this.refs > 0 || this.at === undefined) return
    free(this.at)
    this.at = undefined
    this.initialize = undefined
  }
}
