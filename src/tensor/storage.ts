// A piece of the heap that tensors look at. Counted by tensors, by the tape and by owners; users see no counts.
import { alloc, free } from '../wasm/index.ts'

export class Storage {
  /** Raised by every in-place change, so that backward can tell a saved tensor that was changed. */
  version = 0
  private refs = 1

  private constructor(
    readonly ptr: number,
    readonly bytes: number,
  ) {}

  /** New memory, not cleared. `label` is named when memory runs out. */
  static allocate(bytes: number, label: string): Storage {
    return new Storage(alloc(bytes, label), bytes)
  }

  get alive(): boolean {
    return this.refs > 0
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
    if (--this.refs === 0) free(this.ptr)
  }
}
