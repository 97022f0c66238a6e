// Scopes: what escapes, what is freed, and that the accounts are right.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import '../../src/ops/index.ts'
import { ones, zeros } from '../../src/ops/creation.ts'
import { memory } from '../../src/runtime.ts'
import { keep, tidy } from '../../src/tensor/scope.ts'
import { liveTensors, Tensor } from '../../src/tensor/tensor.ts'
import { alloc, free, OutOfMemoryError } from '../../src/wasm/index.ts'

const one = () => ones([10]) // 40 bytes

test('what is made inside is freed, but for the result', () => {
  const result = tidy(() => {
    const [a, b] = [one(), one()]
    return a.add(b).mul(a)
  })
  assert.equal([memory().used, memory().tensors], [40, 1])
  assert.equal(result.tolist(), new Array(10).fill(2))
  result.dispose()
  assert.equal([memory().used, memory().tensors], [0, 0])
})

test('tensors in arrays, objects, maps and sets escape, however deep; others do not', () => {
  class Output {
    logits = one()
    hidden = [one(), { deep: { deeper: [[[[[[one()]]]]]] } }]
  }
  const result = tidy(() => {
    const lost = one()
    const circle: Record<string, unknown> = {
      output: new Output(),
      numbers: [1, null, undefined, 'x'],
      data: lost.data,
    }
    circle.self = circle
    circle.map = new Map([['k', one()]])
    circle.set = new Set([one()])
    return circle as unknown as { output: Output; map: Map<string, Tensor>; set: Set<Tensor> }
  })
  assert.is(liveTensors(), 5)
  const { output, map, set } = result
  const all = [output.logits, output.hidden[0] as Tensor, map.get('k') as Tensor, ...set]
  for (const tensor of all) tensor.dispose()
  ;(output.hidden[1] as never as { deep: { deeper: Tensor[][][][][][][] } }).deep.deeper
    .flat(9)
    .forEach((t) => (t as unknown as Tensor).dispose())
  assert.equal([memory().used, liveTensors()], [0, 0])
})

test('scopes nest: what escapes belongs to the scope around', () => {
  tidy(() => {
    const inner = tidy(() => [one(), one()])
    assert.is(liveTensors(), 2)
    assert.equal(
      inner.map((t) => t.disposed),
      [false, false],
    )
    tidy(() => inner[0].add(inner[1]))
    assert.is(liveTensors(), 3)
  })
  assert.is(liveTensors(), 0)
})

test('a scope does not free what was there before, even where it returns it', () => {
  const before = one()
  assert.ok(tidy(() => before) === before)
  tidy(() => assert.ok(tidy(() => ({ before })).before === before))
  assert.not(before.disposed)
  before.dispose()
})

test('keep takes a tensor out of all scopes', () => {
  let kept: Tensor | undefined
  tidy(() => tidy(() => void (kept = keep(one()))))
  assert.is(kept?.disposed, false)
  kept?.dispose()
  kept?.dispose() // again is harmless
  assert.equal([memory().used, memory().tensors], [0, 0])
})

test('an exception frees everything that was made inside', () => {
  assert.throws(
    () =>
      tidy(() => {
        one().add(one())
        tidy(() => {
          one()
          throw new Error('inside')
        })
      }),
    /inside/,
  )
  assert.throws(() => tidy(() => one().add(ones([3]))), /add: shapes/)
  assert.equal([memory().used, liveTensors()], [0, 0])
  // Outside of scopes the operands are loose; what the op had begun is freed all the same.
  const [a, b] = [one(), ones([3])]
  assert.throws(() => a.add(b), /add: shapes/)
  assert.is(liveTensors(), 2)
  a.dispose()
  b.dispose()
})

test('a promise is refused, and what it made is freed', () => {
  const before = liveTensors()
  assert.throws(
    () => tidy(async () => one()),
    /tidy: the function returned a promise, and a scope ends at the first await\. Hint: compute is synchronous/,
  )
  assert.is(liveTensors(), before)
})

test('use after dispose says so, with a hint', () => {
  let escaped: Tensor | undefined
  tidy(() => void (escaped = ones([2, 3])))
  const words = /A tensor of shape \[2, 3\] was used after dispose\(\)\. Hint: it left its tidy\(\)/
  assert.throws(() => escaped?.add(1), words)
  assert.throws(() => escaped?.tolist(), words)
  assert.throws(() => escaped?.reshape([6]), words)
  assert.throws(() => String(escaped), words)
  assert.equal(escaped?.shape, [2, 3])
})

test('views hold the memory that they look at', () => {
  const { used } = memory()
  const whole = zeros([100])
  const part = whole.slice(0, 10, 20)
  whole.dispose()
  assert.is(memory().used, used + 400)
  assert.equal(part.tolist(), new Array(10).fill(0))
  part.dispose()
  assert.is(memory().used, used)
})

test('Symbol.dispose, for `using`', () => {
  const t = one()
  t[Symbol.dispose]()
  assert.ok(t.disposed)
})

test('disposing of a leaf disposes of its gradient', () => {
  const before = liveTensors()
  const x = ones([3], { requires_grad: true })
  tidy(() => x.mul(2).sum().backward())
  assert.is(liveTensors(), before + 2)
  x.dispose()
  assert.is(liveTensors(), before)
})

test('out of memory says who has it, and harms nothing', () => {
  const held = ones([1 << 20])
  const error = (() => {
    try {
      alloc(2 ** 32 - 2 ** 16, 'a giant')
    } catch (thrown) {
      return thrown
    }
  })()
  assert.instance(error, OutOfMemoryError)
  assert.match(
    (error as Error).message,
    /^Out of memory: a giant needs 4095\.9 MiB, 4\.0 MiB are in use \(full 4\.0 MiB in 1.*Hint: a smaller batch or dtype, tidy\(\)/,
  )
  assert.throws(() => Tensor.empty([2 ** 20, 2 ** 20], 'float32', 'huge'), /Out of memory: huge needs 4194304\.0 MiB/)
  free(alloc(100))
  held.dispose()
})

test('memory() counts bytes asked for, the most so far, and tensors', () => {
  const before = memory()
  const t = zeros([1000])
  assert.is(memory().used, before.used + 4000)
  assert.is(memory().tensors, before.tensors + 1)
  assert.ok(memory().peak >= memory().used && memory().reserved >= memory().used)
  t.dispose()
  assert.is(memory().used, before.used)
})

test.run()
