// Reverse mode: what PyTorch documents of backward, grad, hooks and modes, and that nothing is left in the heap.
import { test as declare } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/ops/index.ts'
import { enable_grad, grad, is_grad_enabled, no_grad } from '../../src/tensor/autograd.ts'
import { keep, tidy } from '../../src/tensor/scope.ts'
import { liveTensors, Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'

/** A test in a scope, after which there is nothing more on the heap than before. */
function test(name: string, fn: () => void): void {
  declare(name, () => {
    const before = [heapUsage().used, liveTensors()]
    tidy(() => fn())
    assert.equal([heapUsage().used, liveTensors()], before, 'bytes and tensors left')
  })
}

const vector = (...values: number[]) => Tensor.from(values, [values.length])
const leaf = (...values: number[]) => vector(...values).requires_grad_()
const list = (t: Tensor | null | undefined): number[] => t?.tolist()

test('backward fills .grad of leaves and of nothing else', () => {
  const [x, y, z] = [leaf(1, 2), leaf(3, 4), vector(5, 6)]
  const product = x.mul(y)
  product.mul(z).sum().backward()
  assert.equal(list(x.grad), [15, 24])
  assert.equal(list(y.grad), [5, 12])
  assert.is(z.grad, null)
  assert.is(product.grad, null)
  assert.ok(x.is_leaf && !product.is_leaf)
  assert.is(product.grad_fn?.name, 'mul')
})

test('passes add up until the gradient is taken away', () => {
  const x = leaf(1, 2)
  x.mul(3).sum().backward()
  const first = x.grad
  x.mul(x).sum().backward()
  assert.equal(list(x.grad), [5, 7])
  assert.ok(x.grad === first, 'in place')
  x.grad?.dispose()
  x.grad = null
  x.sum().backward()
  assert.equal(list(x.grad), [1, 1])
})

test('a tensor used twice by one op, and by several', () => {
  const x = leaf(1, 2)
  x.add(x).sum().backward()
  assert.equal(list(x.grad), [2, 2])
  const y = leaf(2, 3)
  const a = y.mul(y)
  a.mul(a).add(a).add(y).sum().backward() // y⁴ + y² + y
  assert.equal(list(y.grad), [4 * 8 + 4 + 1, 4 * 27 + 6 + 1])
})

test('diamonds: a node runs once, when all gradients of its output have come', () => {
  const x = leaf(2)
  let runs = 0
  const top = x.mul(1)
  top.register_hook(() => void runs++)
  // Paths of different length from top to the loss.
  let long = top
  for (let i = 0; i < 5; i++) long = long.mul(2)
  long.add(top.mul(3)).add(top).sum().backward()
  assert.equal(list(x.grad), [36])
  assert.is(runs, 1)
})

test('doubling 60 times is not 2^60 paths', () => {
  const x = leaf(1)
  let y: Tensor = x
  for (let i = 0; i < 60; i++) y = y.add(y)
  y.sum().backward()
  assert.equal(list(x.grad), [2 ** 60])
})

test('the gradient that is handed in is neither changed nor taken', () => {
  const x = leaf(1, 2)
  const given = vector(10, 20)
  x.backward(given)
  x.add(x).backward(given)
  assert.equal(list(given), [10, 20])
  assert.equal(list(x.grad), [30, 60])
  assert.ok(x.grad !== given)
  given.fill_(0)
  assert.equal(list(x.grad), [30, 60])
})

test('gradients of two leaves that are one tensor do not share memory', () => {
  const [x, y] = [leaf(1, 2), leaf(3, 4)]
  x.add(y).sum().backward()
  no_grad(() => x.grad?.mul_(5))
  assert.equal(list(y.grad), [1, 1])
})

test('what backward may start from', () => {
  const x = leaf(1, 2)
  assert.throws(() => x.mul(2).backward(), /backward: a tensor of shape \[2\] needs a gradient of its shape\. Hint/)
  assert.throws(() => x.mul(2).backward(vector(1, 2, 3)), /backward: the gradient has shape \[3\], expected \[2\]/)
  assert.throws(
    () => vector(1).backward(),
    /backward: nothing was recorded for this tensor\. Hint: requires_grad on a leaf/,
  )
  assert.throws(() => no_grad(() => x.sum()).backward(), /nothing was recorded/)
  assert.throws(() => x.sum().backward({ create_graph: true } as never), /backward: unsupported option create_graph/)
  const gone = x.sum()
  gone.dispose()
  assert.throws(() => gone.backward(), /used after dispose/)
  x.mul(2).backward({ gradient: vector(1, 2) })
  assert.equal(list(x.grad), [2, 4])
  const one = leaf(3)
  one.backward()
  assert.equal(list(one.grad), [1])
  x.mul(1).backward(Tensor.from([1, 2], [2], 'int64')) // cast, as in torch
  assert.equal(list(x.grad), [3, 6])
})

test('the graph is freed by backward, unless retained', () => {
  const x = leaf(2)
  const y = x.mul(x).sum()
  y.backward({ retain_graph: true })
  y.backward(null, true)
  y.backward()
  assert.equal(list(x.grad), [12])
  assert.throws(
    () => y.backward(),
    /backward: the graph behind mul was freed by an earlier backward\(\)\. Hint: backward\(\{ retain_graph: true \}\)/,
  )
  // What saved nothing can be walked again, as in torch.
  const z = x.add(1).sum()
  z.backward()
  z.backward()
  assert.equal(list(x.grad), [14])
})

test('backward gives what was saved back at once', () => {
  const x = leaf(...new Array(1000).fill(1))
  const loss = tidy(() => x.exp().exp().sum())
  const held = heapUsage().used
  loss.backward()
  x.grad?.dispose()
  x.grad = null
  assert.ok(heapUsage().used <= held - 8000, 'two saved tensors of 4,000 bytes')
})

test('a graph dropped without backward is freed with its last tensor', () => {
  const x = leaf(...new Array(1000).fill(1))
  const before = heapUsage().used
  const y = tidy(() => x.exp().exp())
  assert.ok(heapUsage().used > before + 4000)
  y.dispose()
  assert.is(heapUsage().used, before)
  // A view keeps what it looks at, and its history.
  const part = tidy(() => x.exp().slice(0, 0, 2))
  assert.ok(heapUsage().used >= before + 4000)
  part.sum().backward()
  assert.equal(list(x.grad).slice(0, 3), [Math.fround(Math.E), Math.fround(Math.E), 0])
})

test('hooks on a leaf see the whole gradient once, and may replace it', () => {
  const x = leaf(1, 2)
  const seen: number[][] = []
  const handle = x.register_hook((g) => void seen.push(list(g)))
  x.register_hook((g) => g.mul(10))
  x.add(x).add(x).sum().backward()
  assert.equal(seen, [[3, 3]])
  assert.equal(list(x.grad), [30, 30])
  handle.remove()
  handle.remove()
  x.sum().backward()
  assert.is(seen.length, 1)
  assert.equal(list(x.grad), [40, 40])
  assert.throws(() => vector(1).register_hook(() => {}), /register_hook: the tensor does not require gradients/)
})

test('hooks on what is no leaf come before its own node, in order', () => {
  const x = leaf(1, 2)
  const y = x.mul(3)
  const seen: number[][] = []
  y.register_hook((g) => g.mul(2))
  const handle = y.register_hook((g) => void seen.push(list(g)))
  y.mul(y).sum().backward({ retain_graph: true })
  assert.equal(seen, [[12, 24]])
  assert.equal(list(x.grad), [36, 72])
  handle.remove()
  y.sum().backward()
  assert.is(seen.length, 1)
  assert.equal(list(x.grad), [42, 78])
})

test('a gradient kept by a hook stays, apart from the one in .grad', () => {
  const x = leaf(1, 2)
  const kept: Tensor[] = []
  x.register_hook((g) => void kept.push(keep(g)))
  x.mul(2).sum().backward()
  x.sum().backward()
  assert.equal(list(x.grad), [3, 3])
  assert.equal(kept.map(list), [
    [2, 2],
    [1, 1],
  ])
  kept[0].fill_(7)
  assert.equal(list(x.grad), [3, 3])
  for (const g of kept) g.dispose()
})

test('hooks of one output of several', () => {
  const x = leaf(1, 2, 3, 4)
  const [a, b] = x.var_mean(0)
  let [onA, onB] = [0, 0]
  a.register_hook(() => void onA++)
  b.register_hook(() => void onB++)
  b.backward()
  assert.equal([onA, onB], [0, 1])
  assert.equal(list(x.grad), [0.25, 0.25, 0.25, 0.25])
})

test('grad gives gradients and leaves .grad alone', () => {
  const [x, y, unused] = [leaf(1, 2), leaf(3, 4), leaf(5)]
  const product = x.mul(y)
  const loss = product.mul(product).sum()
  const [gx, gp, gy] = grad(loss, [x, product, y], { retain_graph: true })
  assert.equal([gx, gp, gy].map(list), [
    [18, 64],
    [6, 16],
    [6, 32],
  ])
  assert.equal([x.grad, y.grad], [null, null])
  assert.throws(
    () => grad(loss, [unused], { retain_graph: true }),
    /grad: the outputs do not depend on input 0\. Hint: \{ allow_unused: true \}/,
  )
  assert.equal(grad(loss, [unused, x], { allow_unused: true, retain_graph: true }).map(list), [undefined, [18, 64]])
  assert.equal(grad(loss, [x, x], { retain_graph: true }).map(list), [
    [18, 64],
    [18, 64],
  ])
  assert.equal(list(grad(loss, loss, { retain_graph: true })[0]) as unknown, 1)
  assert.throws(() => grad(loss, vector(1)), /grad: input 0 does not require gradients/)
  assert.throws(() => grad(loss, x, { create_graph: true } as never), /grad: unsupported option create_graph/)
  assert.equal(list(grad(loss, product)[0]), [6, 16])
  assert.throws(() => grad(loss, x), /was freed by an earlier backward/)
})

test('grad of several outputs, with gradients handed in', () => {
  const x = leaf(1, 2)
  const [a, b] = [x.mul(2), x.mul(x)]
  const options = { grad_outputs: [vector(1, 10), vector(100, 1000)] }
  assert.equal(list(grad([a, b], x, options)[0]), [202, 4020])
  assert.throws(
    () => grad([x.mul(2), x.mul(3)], x, { grad_outputs: [vector(1, 1)] }),
    /grad: 1 grad_outputs for 2 outputs/,
  )
  assert.throws(() => grad(x.mul(2), x), /needs a gradient of its shape/)
})

test('a watched output that nothing came from is unused', () => {
  const x = leaf(1, 2, 3, 4)
  const [variance, mean] = x.var_mean(0)
  assert.equal(grad(mean, [variance], { allow_unused: true }), [null])
})

test('modes nest, and end with their function', () => {
  const x = leaf(1)
  assert.ok(is_grad_enabled())
  no_grad(() => {
    assert.not(is_grad_enabled())
    assert.not(x.mul(2).requires_grad)
    enable_grad(() => assert.ok(x.mul(2).requires_grad))
    assert.not(is_grad_enabled())
  })
  assert.throws(
    () =>
      no_grad(() => {
        throw new Error('inside')
      }),
    /inside/,
  )
  assert.ok(is_grad_enabled())
  assert.is(
    no_grad(() => 5),
    5,
  )
  for (const [name, mode] of [
    ['no_grad', no_grad],
    ['enable_grad', enable_grad],
  ] as const)
    assert.throws(
      () =>
        mode(async () => {
          throw new Error('never seen')
        }),
      new RegExp(`${name}: the function returned a promise, and the mode ends at the first await`),
    )
  assert.ok(is_grad_enabled())
})

test('detach shares memory and has no history', () => {
  const x = leaf(1, 2)
  const y = x.mul(2)
  const d = y.detach()
  assert.not(d.requires_grad)
  assert.ok(d.is_leaf)
  assert.is(d.ptr, y.ptr)
  y.mul(d).sum().backward()
  assert.equal(list(x.grad), [4, 8])
})

test('requires_grad is for floating leaves', () => {
  assert.throws(
    () => Tensor.from([1], [1], 'int64').requires_grad_(),
    /requires_grad: only floating dtypes have gradients, found int64/,
  )
  const x = leaf(1)
  const y = x.mul(2)
  assert.throws(() => y.requires_grad_(false), /requires_grad = false is for leaves\. Hint: detach\(\)/)
  assert.ok(y.requires_grad_() === y)
  x.requires_grad = false
  assert.not(x.mul(2).requires_grad)
})

test('in place: refused where it would have to be recorded, noticed where it spoils what was saved', () => {
  const x = leaf(1, 2)
  assert.throws(() => x.add_(1), /add_: a tensor that requires gradients is not changed in place\. Hint: no_grad/)
  assert.throws(() => vector(1, 2).mul_(x), /mul_: a tensor that requires gradients/)
  const y = x.mul(2)
  assert.throws(() => y.fill_(0), /fill_/)
  const constant = vector(3, 4)
  const z = x.mul(constant)
  constant.add_(1)
  assert.throws(
    () => z.sum().backward(),
    /backward of mul: a tensor of shape \[2\] that it saved was changed in place afterwards\. Hint: clone\(\)/,
  )
  // Through a view of it too.
  const other = vector(3, 4)
  const w = x.mul(other)
  other.slice(0, 0, 1).zero_()
  assert.throws(() => w.sum().backward(), /changed in place/)
  // Not where nothing was saved; and the leaf itself may change under no_grad.
  const sum = x.add(constant)
  constant.add_(1)
  sum.sum().backward()
  assert.equal(list(x.grad), [1, 1])
  no_grad(() => x.sub_(1))
  assert.equal(list(x), [0, 1])
})

test('views pass gradients to what they look at', () => {
  const x = Tensor.from([0, 1, 2, 3, 4, 5], [2, 3]).requires_grad_()
  const weights = Tensor.from([1, 2, 3, 4, 5, 6], [3, 2])
  x.transpose(0, 1).mul(weights).sum().backward()
  assert.equal(x.grad?.tolist(), [
    [1, 3, 5],
    [2, 4, 6],
  ])
  const y = leaf(1, 2, 3, 4)
  y.slice(0, 1, 4, 2).mul(vector(10, 20)).sum().add(y.select(0, 0)).backward()
  assert.equal(list(y.grad), [1, 10, 0, 20])
  const z = leaf(5)
  z.expand([3, 4]).sum().backward()
  assert.equal(list(z.grad), [12])
})

test('16-bit leaves get 16-bit gradients', () => {
  for (const dtype of ['bfloat16', 'float16'] as const) {
    const x = Tensor.from([1, 2], [2], dtype).requires_grad_()
    x.float().mul(vector(3, 4)).sum().backward()
    assert.is(x.grad?.dtype, dtype)
    assert.equal(list(x.grad), [3, 4])
    x.mul(x).sum().backward()
    assert.equal(list(x.grad), [5, 8])
  }
})

test('graphs of 20,000 ops need no stack', () => {
  const x = leaf(1)
  const build = () =>
    tidy(() => {
      let y: Tensor = x
      for (let i = 0; i < 20_000; i++) y = i % 2 ? y.mul(1) : y.add(0)
      return y
    })
  build().sum().backward()
  assert.equal(list(x.grad), [1])
  build().dispose() // the last reference to all of it
})

test('an exception in the middle of backward leaves nothing behind', () => {
  const x = leaf(...new Array(500).fill(1))
  const middle = x.exp()
  middle.register_hook(() => {
    throw new Error('from a hook')
  })
  const loss = middle.mul(2).add(x.mul(3)).sum()
  const before = [heapUsage().used, liveTensors()]
  assert.throws(() => loss.backward({ retain_graph: true }), /from a hook/)
  assert.ok(is_grad_enabled())
  x.grad?.dispose()
  x.grad = null
  assert.equal([heapUsage().used, liveTensors()], before)
})

test('a leaf that is gone when its gradient comes', () => {
  const loss = tidy(() => leaf(1, 2).mul(2).sum())
  assert.throws(() => loss.backward(), /a leaf of shape \[2\] was disposed of before its gradient came/)
})

declare.run()
