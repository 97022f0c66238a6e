// Rotary positions: the angles of every rope type in every spelling against Python's, and what is refused. See tests/golden/README.md.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PreTrainedConfig, ropeParameters } from '../../src/models/config.ts'
import { type Angles, type Positions, RotaryEmbedding } from '../../src/models/rope.ts'
import '../../src/ops/index.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'

interface Case {
  name: string
  layer_type: string | null
  head_dim: number
  config: Record<string, unknown>
  calls: { positions: number[][]; cos: number[][][]; sin: number[][][] }[]
}

const cases = JSON.parse(readFileSync('tests/golden/rope.json', 'utf8')) as Case[]

/** Largest difference of the angles' cosines and sines from the golden ones. */
function worst(got: Angles, want: { cos: number[][][]; sin: number[][][] }): number {
  let most = 0
  for (const name of ['cos', 'sin'] as const) {
    const actual = got[name].tolist() as number[][] | number[][][]
    const [a, e] = [actual.flat(2) as number[], want[name].flat(2)]
    assert.is(a.length, e.length)
    a.forEach((x, i) => {
      most = Math.max(most, Math.abs(x - e[i]))
    })
  }
  return most
}

for (const { name, layer_type, head_dim, config, calls } of cases)
  test(`${name}${layer_type ? `, ${layer_type}` : ''}`, () => {
    const used = heapUsage().used
    const rotary = new RotaryEmbedding(new PreTrainedConfig(config), head_dim)
    for (const { positions, cos, sin } of [...calls, ...calls.slice(0, 2)]) // as it grows, and short ones again
      tidy(() => {
        const [B, T] = [positions.length, positions[0].length]
        const asked: Positions[] = [Tensor.from(positions.flat(), [B, T], 'int64')]
        if (B === 1) asked.push({ start: positions[0][0], length: T })
        for (const at of asked) {
          const difference = worst(rotary.at(at)(layer_type ?? undefined), { cos, sin })
          // float32 angles of thousands are far apart: an ulp of a frequency is this much of an angle
          const tolerance = 2e-6 + Math.max(...positions.flat()) * 2 ** -23
          assert.ok(difference < tolerance, `${positions}: ${difference}`)
        }
      })
    rotary.dispose()
    assert.is(heapUsage().used, used)
  })

const config = (rope_parameters: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  new PreTrainedConfig({ max_position_embeddings: 64, rope_parameters, ...more })

test('old and new spellings give the same settings', () => {
  const now = ropeParameters(config({ rope_type: 'linear', rope_theta: 7, factor: 2, partial_rotary_factor: 0.5 }))
  for (const scaling of [
    { type: 'linear', factor: 2 },
    { rope_type: 'linear', factor: 2 },
    { rope_type: 'linear', type: 'linear', factor: 2 },
  ])
    assert.equal(
      ropeParameters(new PreTrainedConfig({ rope_theta: 7, partial_rotary_factor: 0.5, rope_scaling: scaling })),
      now,
    )
})

test('settings by type of layer are told apart', () => {
  const types = { full_attention: { rope_type: 'default', rope_theta: 7 }, sliding_attention: { rope_theta: 9 } }
  assert.is(ropeParameters(config(types), 'sliding_attention').rope_theta, 9)
  assert.throws(() => ropeParameters(config(types)), /given for layers of type full_attention, sliding_attention/)
  assert.throws(
    () => tidy(() => void new RotaryEmbedding(config(types), 8).at({ start: 0, length: 1 })('chunked_attention')),
    /chunked_attention.*full_attention/,
  )
})

test('settings that cannot be computed with are refused', () => {
  const make =
    (rope: Record<string, unknown>, headDim = 8) =>
    () =>
      void new RotaryEmbedding(config(rope), headDim)
  assert.throws(make({ rope_type: 'proportional' }), /rope_type: "proportional" is not supported/)
  assert.throws(make({ rope_type: 'linear' }), /rope type linear needs the number factor/)
  assert.throws(make({ rope_type: 'dynamic', factor: 'two' }), /rope type dynamic needs the number factor, found "two"/)
  assert.throws(make({ rope_type: 'dynamic', factor: 2 }, 2), /rope type dynamic/)
  assert.throws(make({ rope_type: 'llama3', factor: 2 }), /rope type llama3 needs the number low_freq_factor/)
  assert.throws(
    make({ rope_type: 'longrope', short_factor: [1, 2], long_factor: [1, 2, 3, 4] }),
    /longrope needs 4 numbers of short_factor, found a list of 2/,
  )
  assert.throws(
    make({ rope_type: 'longrope', short_factor: [1, 2, 3, 4] }),
    /longrope needs 4 numbers of long_factor, found undefined/,
  )
  assert.throws(make({}, 9), /even number of dimensions of a head of 9/)
  assert.throws(make({ partial_rotary_factor: 1.5 }), /partial_rotary_factor 1.5/)
  assert.throws(make({ partial_rotary_factor: 0.1 }), /partial_rotary_factor 0.1/)
})

test.run()
