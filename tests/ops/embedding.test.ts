// What the table cannot show of embedding: the row of padding, whose gradient is no derivative.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { embedding } from '../../src/ops/embedding.ts'
import '../../src/ops/index.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { Tensor } from '../../src/tensor/tensor.ts'

test('padding_idx is looked up but gets no gradient', () => {
  tidy(() => {
    for (const padding of [1, -2]) {
      const weight = Tensor.from([1, 2, 3, 4, 5, 6], [3, 2]).requires_grad_()
      const rows = embedding(Tensor.from([1, 0, 1, 2, 2], [5], 'int64'), weight, padding)
      assert.equal(rows.tolist(), [
        [3, 4],
        [1, 2],
        [3, 4],
        [5, 6],
        [5, 6],
      ])
      rows.sum().backward()
      assert.equal(weight.grad?.tolist(), [
        [1, 1],
        [0, 0],
        [2, 2],
      ])
    }
  })
})

test.run()
