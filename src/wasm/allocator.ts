// The heap: one linear memory, cut up by the coordinating thread alone. 64-byte alignment; small sizes by class from slabs,
// large ones best fit with coalescing. Everything about blocks is kept in JavaScript: a stray kernel write cannot corrupt it.
import { RushlightError } from '../util/errors.ts'

const ALIGN = 64
const SLAB = 1 << 18
const SMALL = 1 << 15 // largest size served from slabs
const PAGE = 65536

/** Thrown when the heap cannot grow; says who holds the memory. */
export class OutOfMemoryError extends RushlightError {
  override name = 'OutOfMemoryError'
}

interface Block {
  bytes: number
  label: string
}

interface Slab {
  ptr: number
  size: number // of each block
  live: number
  free: number[]
}

/** Classes are 64 × {4, 5, 6, 7} × 2^n above 256: at most a fifth is lost to rounding. */
function classOf(bytes: number): number {
  if (bytes <= 256) return Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN)
  const step = 2 ** (Math.floor(Math.log2(bytes - 1)) - 2)
  return Math.ceil(Math.ceil(bytes / step) * (step / ALIGN)) * ALIGN
}

export class Allocator {
  /** Bytes asked for and not yet freed; the most there has been; bytes of memory behind the heap. */
  used = 0
  peak = 0
  get reserved(): number {
    return this.top - this.base
  }

  /** Whether no block is live. */
  get empty(): boolean {
    return this.live.size === 0
  }

  private top: number
  private readonly live = new Map<number, Block>()
  private readonly largeSize = new Map<number, number>() // bytes really taken, by pointer
  private readonly freeByStart = new Map<number, number>() // start → bytes
  private readonly freeByEnd = new Map<number, number>() // end → start
  private readonly slabs = new Map<number, Slab>() // by pointer / SLAB
  private readonly partial = new Map<number, Slab[]>() // class → slabs with free blocks
  private readonly quarantined = new Set<number>()

  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly base: number,
  ) {
    this.top = base
  }

  /** Memory for the life of the process that no account shows: thread scratch. */
  allocStatic(bytes: number): number {
    return this.takeLarge(Math.ceil(bytes / ALIGN) * ALIGN)
  }

  /** At least `bytes` bytes, 64-byte aligned, not cleared. `label` is who is named when memory runs out. */
  alloc(bytes: number, label = 'buffer'): number {
    if (!(bytes >= 0) || bytes > 2 ** 32) throw this.outOfMemory(bytes, label)
    const ptr =
      bytes <= SMALL ? this.takeSmall(classOf(bytes), label) : this.takeLarge(Math.ceil(bytes / ALIGN) * ALIGN, label)
    this.live.set(ptr, { bytes, label })
    this.used += bytes
    if (this.used > this.peak) this.peak = this.used
    return ptr
  }

  /** Gives a block back. A pointer that is not a live block is a bug of the caller and throws. */
  free(ptr: number): void {
    const block = this.live.get(ptr)
    if (!block) throw new RushlightError(`free(${ptr}): not a live block of the heap`)
    this.live.delete(ptr)
    this.used -= block.bytes
    if (this.quarantined.delete(ptr)) return
    const slab = this.slabs.get(Math.floor(ptr / SLAB))
    if (slab) this.giveSmall(slab, ptr)
    else {
      const bytes = this.largeSize.get(ptr) as number
      this.largeSize.delete(ptr)
      this.giveLarge(ptr, bytes)
    }
  }

  /** Never reuse what is live now: a lost worker may still write to it. Accounts go on as usual. */
  quarantine(): void {
    for (const ptr of this.live.keys()) this.quarantined.add(ptr)
  }

  /** Forgets the highest use so far. */
  resetPeak(): void {
    this.peak = this.used
  }

  /** Live bytes by label, largest first. */
  liveByLabel(): [label: string, bytes: number, blocks: number][] {
    const sums = new Map<string, [number, number]>()
    for (const { bytes, label } of this.live.values()) {
      const sum = sums.get(label) ?? [0, 0]
      sums.set(label, [sum[0] + bytes, sum[1] + 1])
    }
    return [...sums]
      .map(([label, [bytes, n]]): [string, number, number] => [label, bytes, n])
      .sort((a, b) => b[1] - a[1])
  }

  private takeSmall(size: number, label: string): number {
    let slabs = this.partial.get(size)
    if (!slabs) this.partial.set(size, (slabs = []))
    let slab = slabs[slabs.length - 1]
    if (!slab) {
      const ptr = this.takeLarge(SLAB, label, SLAB)
      const free: number[] = []
      for (let at = ptr + Math.floor(SLAB / size) * size - size; at >= ptr; at -= size) free.push(at)
      slab = { ptr, size, live: 0, free }
      this.slabs.set(ptr / SLAB, slab)
      slabs.push(slab)
    }
    slab.live++
    const ptr = slab.free.pop() as number
    if (slab.free.length === 0) slabs.pop()
    return ptr
  }

  private giveSmall(slab: Slab, ptr: number): void {
    const slabs = this.partial.get(slab.size) as Slab[]
    if (slab.free.length === 0) slabs.push(slab)
    slab.free.push(ptr)
    slab.live--
    // One empty slab a class is kept, so that a single block coming and going does not cut and join each time.
    if (slab.live === 0 && slabs.length > 1) {
      slabs.splice(slabs.indexOf(slab), 1)
      this.slabs.delete(slab.ptr / SLAB)
      this.largeSize.delete(slab.ptr)
      this.giveLarge(slab.ptr, SLAB)
    }
  }

  private takeLarge(bytes: number, label = 'buffer', align = ALIGN): number {
    let best = -1
    let bestBytes = Number.POSITIVE_INFINITY
    for (const [start, size] of this.freeByStart) {
      const usable = size - (Math.ceil(start / align) * align - start)
      if (usable >= bytes && size < bestBytes) {
        best = start
        bestBytes = size
      }
    }
    if (best < 0) {
      this.grow(bytes + align, label)
      return this.takeLarge(bytes, label, align)
    }
    this.removeFree(best, bestBytes)
    const ptr = Math.ceil(best / align) * align
    if (ptr > best) this.addFree(best, ptr - best)
    const rest = best + bestBytes - (ptr + bytes)
    if (rest > 0) this.addFree(ptr + bytes, rest)
    this.largeSize.set(ptr, bytes)
    return ptr
  }

  private giveLarge(ptr: number, bytes: number): void {
    const before = this.freeByEnd.get(ptr)
    if (before !== undefined) {
      this.removeFree(before, ptr - before)
      bytes += ptr - before
      ptr = before
    }
    const after = this.freeByStart.get(ptr + bytes)
    if (after !== undefined) {
      this.removeFree(ptr + bytes, after)
      bytes += after
    }
    this.addFree(ptr, bytes)
  }

  private addFree(start: number, bytes: number): void {
    this.freeByStart.set(start, bytes)
    this.freeByEnd.set(start + bytes, start)
  }

  private removeFree(start: number, bytes: number): void {
    this.freeByStart.delete(start)
    this.freeByEnd.delete(start + bytes)
  }

  private grow(bytes: number, label: string): void {
    const last = this.freeByEnd.get(this.top)
    const needed = bytes - (last === undefined ? 0 : this.top - last)
    const have = this.memory.buffer.byteLength
    // Ahead of need, by an eighth, where the maximum allows; just what is needed where it does not.
    for (const ahead of [Math.max(1 << 22, (this.top - this.base) / 8), 0]) {
      const target = Math.ceil((this.top + needed + ahead) / PAGE)
      try {
        if (target * PAGE > have) this.memory.grow(target - have / PAGE)
        const from = this.top
        this.top = target * PAGE
        // The very last 64 bytes of a 4 GiB memory stay unused, so that the end of a block is always a 32-bit number.
        const end = this.top === 2 ** 32 ? this.top - ALIGN : this.top
        this.giveLarge(from, end - from)
        return
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
      }
    }
    throw this.outOfMemory(bytes, label)
  }

  private outOfMemory(bytes: number, label: string): OutOfMemoryError {
    const mib = (n: number) => `${(n / 2 ** 20).toFixed(1)} MiB`
    const holders = this.liveByLabel()
      .slice(0, 6)
      .map(([name, size, n]) => `${name} ${mib(size)} in ${n}`)
    return new OutOfMemoryError(
      `Out of memory: ${label} needs ${mib(bytes)}, ${mib(this.used)} are in use (${holders.join(', ') || 'nothing'}). ` +
        'Hint: a smaller batch or dtype, tidy(), no_grad(), or dispose() of what is no longer needed',
    )
  }
}
