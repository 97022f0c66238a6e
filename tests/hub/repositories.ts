// The repositories that the tests have on their Hub: tiny files whose bytes are made by a rule, so that Python's part is the same.
import type { HubRepositoryContent } from './server.ts'

/** `length` bytes of a linear congruential generator. */
export function randomBytes(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed >>> 0
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

export const WEIGHTS = randomBytes(300_000)

export const REPOSITORIES: Record<string, HubRepositoryContent> = {
  'tests/tiny': {
    files: {
      'config.json': '{"model_type": "llama"}',
      'model.safetensors': { content: WEIGHTS, lfs: true },
      'onnx/deep/model.bin': { content: WEIGHTS.subarray(0, 70_000), lfs: true },
      'empty.txt': '',
      'a name with ümlauts & spaces.txt': 'kept',
    },
    branches: {
      'refs/pr/1': { 'config.json': '{"model_type": "bert"}', 'model.safetensors': { content: WEIGHTS, lfs: true } },
    },
  },
  'tests/private': {
    files: { 'config.json': '{"secret": true}', 'model.bin': { content: WEIGHTS.subarray(0, 1000), lfs: true } },
    private: true,
  },
  'tests/gated': { files: { 'config.json': '{"gated": true}' }, gated: true },
  solo: { files: { 'config.json': '{}' } },
}
