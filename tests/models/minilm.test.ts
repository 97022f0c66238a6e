// all-MiniLM-L6-v2: embeddings of fifty sentences against PyTorch's.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { load_file } from '../../src/io/index.ts'
import { pipeline } from '../../src/pipelines/pipeline.ts'
import { heapUsage } from '../../src/wasm/index.ts'
import { realModel } from './paths.ts'

const golden = JSON.parse(readFileSync('tests/golden/real/minilm.json', 'utf8')) as { sentences: string[] }
const path = realModel('minilm')

if (path)
  test('fifty sentences: embeddings within 1e-5 cosine of PyTorch, alone and in one padded batch', async () => {
    const before = heapUsage().used
    const extract = await pipeline('feature-extraction', path)
    const stored = await load_file('tests/golden/real/minilm.safetensors')
    const expected = stored.embeddings.tolist() as number[][]
    const batch = await extract(golden.sentences, { pooling: 'mean', normalize: true })
    assert.equal(batch.shape, [50, 384])
    const alone = await extract(golden.sentences[7], { pooling: 'mean', normalize: true })
    const check = (actual: number[], i: number) => {
      const dot = actual.reduce((sum, x, j) => sum + x * expected[i][j], 0)
      assert.ok(Math.abs(Math.hypot(...actual) - 1) < 1e-5, 'length 1')
      assert.ok(1 - dot / Math.hypot(...expected[i]) < 1e-5, `sentence ${i}: cosine ${dot}`)
    }
    ;(batch.tolist() as number[][]).forEach(check)
    check((alone.tolist() as number[][])[0], 7)
    for (const t of [batch, alone, ...Object.values(stored)]) t.dispose()
    extract.dispose()
    assert.is(heapUsage().used, before)
  })
else test.skip('MiniLM', () => {})

test.run()
