// Optimizers and schedules against PyTorch over ten steps (tests/golden/make_optim.py), and what they hold.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clip_grad_norm_ } from '../../src/nn/utils.ts'
import { Adam, AdamW, SGD } from '../../src/optim/index.ts'
import * as schedules from '../../src/optim/lr_scheduler.ts'
import '../../src/ops/index.ts'
import { keep } from '../../src/tensor/scope.ts'
import { liveTensors, Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'
import golden from '../golden/optim.json'

const optimizers = { Adam, AdamW, SGD }
type Kind = keyof typeof optimizers

/** Tensors of the golden shapes from one flat list. */
function split(flat: number[]): Tensor[] {
  let at = 0
  return golden.shapes.map((shape) => {
    const n = shape.reduce((a, b) => a * b, 1)
    at += n
    return Tensor.from(flat.slice(at - n, at), shape)
  })
}

const parameters = () => split(golden.initial).map((p) => keep(p).requires_grad_())

function giveGradients(params: Tensor[], step: number): void {
  split(golden.gradients[step]).forEach((g, i) => {
    params[i].grad?.dispose()
    params[i].grad = keep(g)
  })
}

function close(what: string, params: Tensor[], expected: number[]): void {
  const actual = params.flatMap((p) => [...(p.data as Float32Array)])
  actual.forEach((x, i) => {
    const error = Math.abs(x - expected[i])
    assert.ok(
      error <= 1e-5 * Math.max(1, Math.abs(expected[i])),
      `${what}: element ${i} is ${x}, expected ${expected[i]}`,
    )
  })
}

for (const { name, options, max_norm, norms, after } of golden.cases)
  test(`${name} ${JSON.stringify(options)}${max_norm ? ' with clipping' : ''}: as PyTorch over ten steps`, () => {
    const params = parameters()
    const optimizer = new optimizers[name as Kind](params, options as object)
    golden.gradients.forEach((_, step) => {
      giveGradients(params, step)
      if (max_norm) {
        const norm = clip_grad_norm_(params, max_norm)
        assert.ok(Math.abs(norm - norms[step]) <= 1e-5 * norms[step], `norm ${norm}, expected ${norms[step]}`)
      }
      optimizer.step()
      const expected = after[String(step + 1) as keyof typeof after]
      if (expected) close(`${name} after ${step + 1} steps`, params, expected)
    })
    optimizer.dispose()
    for (const p of params) p.dispose()
  })

test('a saved state goes on where it stopped', () => {
  for (const name of ['AdamW', 'SGD'] as const) {
    const options = name === 'SGD' ? { lr: 0.1, momentum: 0.9 } : { lr: 0.01, amsgrad: true }
    const [straight, resumed] = [parameters(), parameters()]
    const first = new optimizers[name](straight, options)
    let second = new optimizers[name](resumed, options)
    for (let step = 0; step < 6; step++) {
      if (step === 3) {
        const next = new optimizers[name](resumed, { lr: 5 })
        next.load_state_dict(second.state_dict() as never)
        second.dispose()
        second = next
      }
      for (const [params, optimizer] of [
        [straight, first],
        [resumed, second],
      ] as const) {
        giveGradients(params, step)
        optimizer.step()
      }
    }
    straight.forEach((p, i) => assert.equal(resumed[i].data, p.data, `${name}: parameter ${i}`))
    for (const owner of [first, second, ...straight, ...resumed]) owner.dispose()
  }
})

test('dispose gives back what the state held, zero_grad what gradients held', () => {
  const [used, tensors] = [heapUsage().used, liveTensors()]
  const params = parameters()
  const optimizer = new AdamW(params, { amsgrad: true })
  giveGradients(params, 0)
  optimizer.step()
  optimizer.zero_grad()
  assert.is(params[0].grad, null)
  giveGradients(params, 1)
  optimizer.zero_grad(false)
  assert.equal(params[1].grad?.tolist(), [0, 0, 0])
  assert.is(optimizer.state.size, 2)
  optimizer.dispose()
  for (const p of params) p.dispose()
  assert.is(heapUsage().used - used, 0)
  assert.is(liveTensors() - tensors, 0)
})

test('groups have options of their own, a closure gives its loss back', () => {
  const [a, b] = [Tensor.from([1], [1]), Tensor.from([1], [1])]
  const optimizer = new SGD([{ params: [a.requires_grad_()] }, { params: b.requires_grad_(), lr: 0.5 }], { lr: 0.25 })
  const loss = optimizer.step(() => {
    a.add(b).sum().backward()
    return 3
  })
  assert.is(loss, 3)
  assert.equal([a.tolist(), b.tolist()], [[0.75], [0.5]])
  optimizer.dispose()
  a.dispose()
  b.dispose()
})

test('an infinite norm clips by the largest gradient; errors name the optimizer and the option', () => {
  const [p, q] = parameters()
  giveGradients([p, q], 0)
  const largest = Math.max(...[p, q].flatMap(({ grad }) => [...((grad as Tensor).data as Float32Array)].map(Math.abs)))
  assert.is(clip_grad_norm_([p, q], 1e9, Number.POSITIVE_INFINITY), largest)
  assert.throws(() => clip_grad_norm_(p, 1, 0), /clip_grad_norm_: norm_type: 0 is not supported/)
  assert.throws(() => new AdamW([p], { fused: true } as never), /AdamW: unsupported option fused. Supported: lr, betas/)
  assert.throws(() => new AdamW([]), /AdamW: the list of parameters is empty/)
  assert.throws(() => new AdamW([p, p]), /AdamW: a parameter of shape \[7, 5\] is given twice/)
  assert.throws(() => new AdamW([p], { betas: [0.9, 1] }), /AdamW: betas\[1\] must be from 0 to below 1, found 1/)
  assert.throws(() => new SGD([p], { nesterov: true }), /SGD: nesterov needs momentum/)
  const adam = new AdamW([p])
  assert.throws(
    () => adam.load_state_dict({ state: {}, param_groups: [{ ...adam.defaults, params: [0, 1] }] }),
    /AdamW: load_state_dict: groups of 2 parameters do not fit/,
  )
  p.dispose()
  q.dispose()
})

test('schedules: as transformers', () => {
  const makers = {
    linear: (o: SGD) => schedules.get_linear_schedule_with_warmup(o, 3, 12),
    cosine: (o: SGD) => schedules.get_cosine_schedule_with_warmup(o, 3, 12),
    cosine_cycles: (o: SGD) => schedules.get_cosine_schedule_with_warmup(o, 0, 10, 1.5),
  }
  for (const [name, make] of Object.entries(makers)) {
    const params = parameters()
    const optimizer = new SGD([
      { params: [params[0]], lr: 1 },
      { params: [params[1]], lr: 0.1 },
    ])
    let scheduler = make(optimizer)
    golden.schedules[name as keyof typeof golden.schedules].forEach((expected, step) => {
      if (step === 7) {
        const saved = scheduler.state_dict()
        scheduler = make(optimizer)
        scheduler.load_state_dict(saved)
      }
      scheduler
        .get_last_lr()
        .forEach((lr, i) =>
          assert.ok(Math.abs(lr - expected[i]) < 1e-12, `${name} step ${step}: ${lr}, expected ${expected[i]}`),
        )
      scheduler.step()
    })
    for (const p of params) p.dispose()
  }
})

test.run()
