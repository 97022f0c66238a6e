// The built rushlight with the threads and the binary that the command line asks for.
import { options } from '../measure.mjs'

export const { threads, seconds, build } = options()
export const rushlight = await import('../../dist/index.js')
export const who = `rushlight, ${build}`

await rushlight.init({ threads, wasm: build })
