// Printing, character by character as PyTorch (tests/golden/make_print.py).
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/ops/index.ts'
import { Parameter } from '../../src/nn/parameter.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { numelOf } from '../../src/tensor/shape.ts'
import { Tensor } from '../../src/tensor/tensor.ts'
import golden from '../golden/print.json'

type Case = (typeof golden.cases)[number]

/** The tensor that a golden case tells of: its elements, or steps of `arange` from 0. */
function tensorOf(given: Case): Tensor {
  const { shape, dtype, data, arange } = given as { shape: number[]; dtype: string; data?: unknown[]; arange?: number }
  const parse = (x: unknown) => (typeof x === 'string' ? Number(x.replace('inf', 'Infinity')) : Number(x))
  if (dtype === 'int64' && data)
    return Tensor.from(
      data.map((x) => BigInt(x as string)),
      shape,
      'int64',
    )
  const values = data ? data.map(parse) : Array.from({ length: numelOf(shape) }, (_, i) => i * (arange as number))
  return Tensor.from(values, shape, dtype as 'float32')
}

test('str(tensor) of every golden case', () => {
  const wrong: string[] = []
  for (const given of golden.cases)
    tidy(() => {
      const tensor = tensorOf(given)
      if ('requires_grad' in given) tensor.requires_grad_()
      const text = String(tensor)
      if (text !== given.text) wrong.push(`expected\n${given.text}\nfound\n${text}`)
    })
  assert.is(wrong.join('\n\n'), '')
  assert.ok(golden.cases.length > 80)
})

test('views print as what they show', () => {
  tidy(() => {
    const x = Tensor.from([0, 1, 2, 3, 4, 5], [2, 3])
    assert.is(String(x.transpose(0, 1)), String(Tensor.from([0, 3, 1, 4, 2, 5], [3, 2])))
    assert.is(String(x.slice(1, 1, 3)), String(Tensor.from([1, 2, 4, 5], [2, 2])))
    assert.is(String(Tensor.from([7], [1]).expand([3])), 'tensor([7., 7., 7.])')
    // The edges of a view far too large to be listed.
    assert.is(String(Tensor.from([1], [1]).expand([100_000])), 'tensor([1., 1., 1.,  ..., 1., 1., 1.])')
  })
})

test('what was recorded says by which op', () => {
  tidy(() => {
    const x = Tensor.from([1, 2], [2]).requires_grad_()
    assert.is(String(x.mul(x)), 'tensor([1., 4.], grad_fn=<MulBackward0>)')
    assert.match(String(x.softmax(0)), /grad_fn=<SoftmaxBackward0>\)$/)
    assert.match(String(x.log_softmax(0)), /grad_fn=<LogSoftmaxBackward0>\)$/)
    assert.is(String(x.detach()), 'tensor([1., 2.])')
  })
})

test('a parameter says that it is one; a disposed tensor can still be looked at', () => {
  const parameter = new Parameter(Tensor.from([1, 2], [2]))
  assert.is(String(parameter), 'Parameter containing:\ntensor([1., 2.], requires_grad=True)')
  parameter.dispose()
  const inspect = Symbol.for('nodejs.util.inspect.custom')
  assert.is((parameter as unknown as Record<symbol, () => string>)[inspect](), 'tensor(disposed, shape=[2])')
})

test.run()
