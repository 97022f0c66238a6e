// Quantized modules: called as those of nn, filled from tensors or from a file's bytes, tied, owned, and frozen.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/ops/index.ts'
import { Embedding, Linear } from '../../src/nn/layers.ts'
import { Module } from '../../src/nn/module.ts'
import { formatOf, isFormat } from '../../src/quant/formats.ts'
import { quantize_modules, QuantizedEmbedding, QuantizedLinear } from '../../src/quant/layers.ts'
import { pack } from '../../src/quant/products.ts'
import { QuantizedWeight } from '../../src/quant/weight.ts'
import { Sampler } from '../../src/ops/reference.ts'
import { no_grad } from '../../src/tensor/autograd.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { liveTensors, Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage, u8View, withTemp } from '../../src/wasm/index.ts'

const s = new Sampler(3)
const randn = (...shape: number[]) => Tensor.from(s.randn(...shape).data, shape)

/** Runs and asserts that nothing is left of it. */
function check(name: string, run: () => void): void {
  test(name, () => {
    const [used, tensors] = [heapUsage().used, liveTensors()]
    tidy(run)
    assert.is(heapUsage().used, used, 'bytes left behind')
    assert.is(liveTensors(), tensors, 'tensors left behind')
  })
}

function near(actual: Tensor, expected: Tensor, tolerance: number): void {
  assert.equal(actual.shape, expected.shape)
  const [a, e] = [actual.data, expected.data]
  for (let i = 0; i < e.length; i++)
    assert.ok(Math.abs(Number(a[i]) - Number(e[i])) <= tolerance, `element ${i}: ${a[i]}, expected ${e[i]}`)
}

class Tied extends Module<[ids: Tensor], Tensor> {
  embed = new Embedding(10, 32)
  up = new Linear(32, 64)
  down = new Linear(64, 32, false)
  head = new Linear(32, 10, false)

  constructor() {
    super()
    this.head.weight.dispose()
    this.head.weight = this.embed.weight
  }
  forward(ids: Tensor): Tensor {
    return this.head(this.down(this.up(this.embed(ids))))
  }
}

check('formats go by the names of GGUF and transformers.js', () => {
  assert.is(formatOf('Q4_1'), 'q4_1')
  assert.is(formatOf('q8'), 'q8_0')
  assert.not(isFormat('F16'))
  assert.not(isFormat('constructor'))
  assert.throws(() => formatOf('Q2_K'), /format: "Q2_K" is not supported. Supported: "q4_0", "q4_1", "q8_0"/)
})

check('QuantizedLinear computes what Linear does with the rounded weight, and passes gradients through', () => {
  const linear = new Linear(64, 7)
  const quantized = QuantizedLinear.from(linear, 'q8_0')
  const x = randn(3, 2, 64)
  x.requires_grad_()
  const y = quantized(x)
  near(y, linear(x), 0.03)
  y.backward(randn(3, 2, 7).fill_(1))
  const column = quantized.weight.dequantize().sum(0).reshape([1, 1, 64]).expand([3, 2, 64])
  near(x.grad as Tensor, column, 1e-5)
  near(linear.bias?.grad as Tensor, randn(7).fill_(6), 1e-5)
  assert.equal(
    [...quantized.named_parameters()].map(([name]) => name),
    ['bias'],
  )
  assert.match(String(quantized), 'QuantizedLinear(in_features=64, out_features=7, bias=True, format=q8_0)')
  const half = randn(2, 64).to('bfloat16')
  half.requires_grad_()
  const halved = quantized(half)
  assert.is(halved.dtype, 'bfloat16')
  halved.sum().backward()
  assert.is(half.grad?.dtype, 'bfloat16')
  quantized.dispose()
  linear.dispose()
})

check('QuantizedEmbedding gives the rounded rows exactly', () => {
  const embedding = new Embedding(9, 96)
  const quantized = QuantizedEmbedding.from(embedding, 'q4_1')
  const ids = Tensor.from([8, 0, 3, 3], [2, 2], 'int64')
  const table = quantized.weight.dequantize()
  assert.equal(
    quantized(ids).tolist(),
    table
      .index_select(0, ids.reshape([4]))
      .reshape([2, 2, 96])
      .tolist(),
  )
  assert.throws(() => quantized(Tensor.from([9], [1], 'int64')), /index 9 at \[0\] is out of range/)
  quantized.dispose()
  embedding.dispose()
})

check('a model is quantized in place: tied weights stay one, memory shrinks, the rest stays', () => {
  const model = new Tied().eval()
  const ids = Tensor.from([1, 9, 4], [3], 'int64')
  const before = model(ids)
  const used = heapUsage().used
  const weights = quantize_modules(model, (name) => (name === 'down.weight' ? undefined : 'q8_0'))
  assert.equal([...weights.keys()], ['embed.weight', 'up.weight', 'head.weight'])
  assert.ok(weights.get('embed.weight') === weights.get('head.weight'))
  assert.instance(model.embed, QuantizedEmbedding)
  assert.instance(model.head, QuantizedLinear)
  assert.instance(model.down, Linear)
  // 12 rows of one block for 10, 64 of one, in place of 4 bytes an element.
  assert.is(used - heapUsage().used, (10 + 64) * 32 * 4 - (12 + 64) * 34)
  assert.equal([...model.state_dict().keys()], ['up.bias', 'down.weight'])
  assert.not(model.embed.training)
  const after = model(ids)
  const distance = after.sub(before).square().sum().item() as number
  assert.ok(Math.sqrt(distance / (before.square().sum().item() as number)) < 0.02, `${distance}`)
  model.dispose()
})

check('a weight is filled from a file: rows in another order, repacked in place', () => {
  const [n, k] = [11, 64]
  const x = randn(n, k)
  const order = [3, 0, 2, 1, 10, 9, 4, 5, 6, 7, 8]
  for (const format of ['q4_0', 'q4_1', 'q8_0'] as const) {
    const weight = new QuantizedWeight(format, [n, k])
    assert.throws(() => weight.blocks, /\[11, 64\] was used before it was loaded/)
    const file = withTemp(weight.bytes, (ptr) => {
      pack(format, x.ptr, ptr, (n * k) / 32)
      return u8View(ptr, weight.bytes).slice()
    })
    const reference = QuantizedWeight.quantize(x, format)
    weight.raw()().set(file)
    assert.throws(() => weight.blocks, /used before it was loaded/)
    weight.seal((row) => order[row])
    assert.throws(() => weight.seal(), /repacked already/)
    assert.equal(
      weight.dequantize().tolist(),
      reference
        .dequantize()
        .index_select(0, Tensor.from(order, [n], 'int64'))
        .tolist(),
    )
    weight.dispose()
    reference.dispose()
  }
})

check('what cannot be quantized is refused', () => {
  assert.throws(() => new QuantizedWeight('q8_0', [4, 40]), /rows of whole blocks of 32, found \[4, 40\]/)
  assert.throws(() => new QuantizedWeight('q8_0', [64]), /expected a matrix/)
  assert.throws(
    () => QuantizedWeight.quantize(Tensor.from([1], [1, 1], 'int64').expand([2, 32]).contiguous(), 'q8_0'),
    /expected a floating tensor, found int64/,
  )
})

check('recording does not keep what no_grad would not', () => {
  const linear = new Linear(32, 4)
  const quantized = QuantizedLinear.from(linear, 'q4_0')
  const y = no_grad(() => quantized(randn(2, 32)))
  assert.not(y.requires_grad)
  quantized.dispose()
  linear.dispose()
})

test.run()
