// A binary heap: what comes before all else is on top.

export class PriorityQueue<T> {
  private readonly heap: T[] = []

  /** @param before whether a is to be taken before b */
  constructor(private readonly before: (a: T, b: T) => boolean) {}

  push(item: T): void {
    const { heap, before } = this
    let at = heap.push(item) - 1
    for (let parent = (at - 1) >> 1; at > 0 && before(item, heap[parent]); parent = (at - 1) >> 1) {
      heap[at] = heap[parent]
      at = parent
    }
    heap[at] = item
  }

  /** Takes what is on top; undefined when there is nothing. */
  pop(): T | undefined {
    const { heap, before } = this
    const top = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return last
    let at = 0
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++
      if (!before(heap[child], last)) break
      heap[at] = heap[child]
      at = child
    }
    heap[at] = last
    return top
  }
}
