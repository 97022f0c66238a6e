// Changes in place: who may, what backward notices, and operands that look at the tensor itself.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { tensor } from '../../src/ops/creation.ts'
import '../../src/ops/index.ts'
import { no_grad } from '../../src/tensor/autograd.ts'

test('a leaf that requires gradients changes only under no_grad', () => {
  const w = tensor([1, 2], { requires_grad: true })
  assert.throws(() => w.add_(1), /add_: a tensor that requires gradients is not changed in place\. Hint: no_grad/)
  assert.throws(() => tensor([1, 2]).mul_(w), /mul_: a tensor that requires gradients/)
  no_grad(() => w.sub_(tensor([1, 1]), 0.5))
  assert.equal(w.tolist(), [0.5, 1.5])
})

test('backward refuses a saved tensor that was changed afterwards', () => {
  const x = tensor([1, 2], { requires_grad: true })
  const y = x.mul(2)
  const z = y.mul(y)
  no_grad(() => y.zero_())
  assert.throws(() => z.sum().backward(), /backward of mul: a tensor of shape \[2\] that it saved was changed in place/)
})

test('an operand that overlaps the tensor is read before it changes', () => {
  const x = tensor([
    [1, 2],
    [3, 4],
  ])
  assert.equal(x.clone().add_(x).tolist(), [
    [2, 4],
    [6, 8],
  ])
  const self = x.clone()
  assert.equal(self.add_(self).tolist(), [
    [2, 4],
    [6, 8],
  ])
  const row = x.clone()
  assert.equal(row.add_(row.select(0, 0)).tolist(), [
    [2, 4],
    [4, 6],
  ])
  const turned = x.clone()
  assert.equal(turned.copy_(turned.t()).tolist(), [
    [1, 3],
    [2, 4],
  ])
})

test('a view writes through to what it looks at', () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ])
  x.narrow(1, 1, 2).mul_(10)
  assert.equal(x.tolist(), [
    [1, 20, 30],
    [4, 50, 60],
  ])
  x.t().fill_(7)
  assert.equal(x.tolist(), [
    [7, 7, 7],
    [7, 7, 7],
  ])
})

test.run()
