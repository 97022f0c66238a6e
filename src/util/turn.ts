// Giving the event loop a turn between steps of compute, so that streams flush, signals arrive and pages stay alive.

let channel: MessageChannel | undefined
const waiting: (() => void)[] = []

/** Resolves in a later turn of the event loop, without the four milliseconds that a browser's setTimeout takes. */
export function nextTurn(): Promise<void> {
  if (typeof setImmediate === 'function') return new Promise((resolve) => setImmediate(resolve))
  if (!channel) {
    channel = new MessageChannel()
    channel.port1.onmessage = () => waiting.shift()?.()
  }
  const { port2 } = channel
  return new Promise((resolve) => {
    waiting.push(resolve)
    port2.postMessage(0)
  })
}
