// The downloads of tests/golden/make_hub.py, made by rushlight.
import type * as hubModule from '../../src/hub/index.ts'

export async function download(hub: typeof hubModule, cache_dir: string): Promise<void> {
  const options = { cache_dir, token: 'hf_test' }
  const tiny = [
    'config.json',
    'model.safetensors',
    'onnx/deep/model.bin',
    'empty.txt',
    'a name with ümlauts & spaces.txt',
  ]
  for (const file of tiny) await hub.hf_hub_download('tests/tiny', file, options)
  await hub.hf_hub_download('tests/tiny', 'config.json', { ...options, revision: 'refs/pr/1' })
  await hub.hf_hub_download('tests/tiny', 'model.safetensors', { ...options, revision: 'refs/pr/1' })
  await hub.hf_hub_download('tests/private', 'model.bin', options)
  await hub.hf_hub_download('solo', 'config.json', options)
  for (const subfolder of ['', 'onnx']) {
    const error = await hub
      .hf_hub_download('tests/tiny', 'none.json', { ...options, subfolder })
      .catch((error) => error)
    if (!(error instanceof hub.EntryNotFoundError)) throw new Error('none.json was found')
  }
}
