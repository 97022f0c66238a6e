// Layers against PyTorch: printing, outputs and gradients (tests/golden/make_nn.py).
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as nn from '../../src/nn/index.ts'
import { manual_seed } from '../../src/ops/generator.ts'
import '../../src/ops/index.ts'
import { no_grad } from '../../src/tensor/autograd.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { liveTensors, Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'
import golden from '../golden/nn.json'

interface Stored {
  shape: number[]
  data: number[]
}
interface Run {
  state: Record<string, Stored>
  input: Stored
  output: Stored
  weights: number[]
  gradients: Record<string, number[]>
  inputGradient: number[] | null
}

type Layer = nn.Module<[Tensor], Tensor>
const layers = nn as unknown as Record<string, new (...args: unknown[]) => Layer>

function close(what: string, actual: Tensor | null | undefined, expected: number[]): void {
  assert.ok(actual, `${what} is missing`)
  const values = (actual as Tensor).float().data as Float32Array
  assert.is(values.length, expected.length, what)
  values.forEach((x, i) => {
    if (!(Math.abs(x - expected[i]) <= 1e-5 * Math.max(1, Math.abs(expected[i]))))
      assert.unreachable(`${what}: element ${i} is ${x}, expected ${expected[i]}`)
  })
}

/** Loads the weights, runs the layer forward and backward, and compares all of it. */
function check(what: string, layer: Layer, run: Run): void {
  layer.load_state_dict(
    Object.fromEntries(Object.entries(run.state).map(([name, { shape, data }]) => [name, Tensor.from(data, shape)])),
  )
  const integers = run.inputGradient === null
  const input = Tensor.from(run.input.data, run.input.shape, integers ? 'int64' : 'float32')
  if (!integers) input.requires_grad_()
  const output = layer(input)
  assert.equal(output.shape, run.output.shape, what)
  close(`${what}: output`, output, run.output.data)
  output.backward(Tensor.from(run.weights, run.output.shape))
  for (const [name, parameter] of layer.named_parameters())
    close(`${what}: gradient of ${name}`, parameter.grad, run.gradients[name])
  assert.equal(
    [...layer.named_parameters()].map(([name]) => name),
    Object.keys(run.gradients),
  )
  if (run.inputGradient) close(`${what}: gradient of the input`, input.grad, run.inputGradient)
}

for (const given of golden.cases) {
  const keywords = Object.keys(given.keywords).length ? [given.keywords] : []
  const what = `${given.layer}(${[...given.args, ...keywords].map((x) => JSON.stringify(x)).join(', ')})`
  test(what, () => {
    const before = [heapUsage().used, liveTensors()]
    const layer = new layers[given.layer](...given.args, ...keywords)
    assert.is(heapUsage().used, before[0], 'nothing is allocated before use')
    assert.is(String(layer), given.text)
    if ('state' in given) tidy(() => check(what, layer, given as unknown as Run))
    layer.dispose()
    assert.equal([heapUsage().used, liveTensors()], before)
  })
}

test('Sequential', () => {
  const stack = new nn.Sequential(
    new nn.Conv2d(1, 2, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(24, 4),
    new nn.LayerNorm(4),
    new nn.Softmax(-1),
  )
  assert.is(String(stack), golden.sequential.text)
  assert.is(stack.length, 6)
  tidy(() => check('Sequential', stack, golden.sequential as unknown as Run))
  stack.dispose()
})

test('CrossEntropyLoss', () => {
  tidy(() => {
    const logits = Tensor.from(golden.logits, [4, 3])
    for (const { options, target, loss } of golden.losses) {
      const weight = 'weight' in options ? Tensor.from(options.weight as number[], [3]) : null
      const criterion = new nn.CrossEntropyLoss({ ...(options as object), weight })
      close(JSON.stringify(options), criterion(logits, Tensor.from(target, [4], 'int64')), loss)
      criterion.dispose()
    }
    assert.throws(
      () => new nn.CrossEntropyLoss({ size_average: true } as never),
      /CrossEntropyLoss: unsupported option size_average/,
    )
  })
})

test('MSELoss', () => {
  tidy(() => {
    const [a, b] = [Tensor.from([1, 2, 3], [3]), Tensor.from([1, 4, 0], [3])]
    assert.is(Math.round(new nn.MSELoss()(a, b).item() * 1e5), 433333)
    assert.is(new nn.MSELoss({ reduction: 'sum' })(a, b).item(), 13)
    assert.equal(new nn.MSELoss({ reduction: 'none' })(a, b).tolist(), [0, 4, 9])
  })
})

test('Dropout drops in train mode only, and keeps the mean', () => {
  tidy(() => {
    const [layer, x] = [new nn.Dropout(0.25), Tensor.from(new Float32Array(40_000).fill(3), [40_000])]
    manual_seed(1)
    const values = layer(x).data as Float32Array
    const zeros = values.filter((v) => v === 0).length
    assert.ok(values.every((v) => v === 0 || v === 4))
    assert.ok(Math.abs(zeros / 40_000 - 0.25) < 0.02, `${zeros} of 40000 dropped`)
    layer.eval()
    assert.ok((layer(x).data as Float32Array).every((v) => v === 3))
    manual_seed(1)
    layer.train()
    assert.equal(layer(x).data, values, 'the seed decides')
  })
})

test('options that are unknown or out of range are refused', () => {
  assert.throws(
    () => new nn.Linear(2, 3, { biass: false } as never),
    /Linear: unknown argument biass\. Supported: bias/,
  )
  assert.throws(
    () => new nn.LayerNorm(2, { epsilon: 1 } as never),
    /LayerNorm: unknown argument epsilon\. Supported: eps, elementwise_affine, bias/,
  )
  assert.throws(() => new nn.Embedding(2, 3, { max_norm: 1 } as never), /Embedding: unknown argument max_norm/)
  assert.throws(() => new nn.Embedding(2, 3, 2), /Embedding: padding_idx 2 is out of range for 2 embeddings/)
  assert.throws(
    () => new nn.Conv2d(2, 3, 1, { padding_mode: 'reflect' } as never),
    /Conv: unknown argument padding_mode/,
  )
  assert.throws(
    () => new nn.Conv1d(3, 4, 1, { groups: 2 }),
    /Conv: groups 2 must divide in_channels 3 and out_channels 4/,
  )
  assert.throws(() => new nn.Dropout(1.5), /Dropout: p must be from 0 to 1, found 1\.5/)
  assert.throws(() => new nn.Linear(-1, 3), /sizes must be whole numbers from 0 up, found shape \[3, -1\]/)
})

/** Mean, standard deviation and bounds of what an initializer makes. */
function statistics(
  shape: number[],
  fill: (t: Tensor) => unknown,
): { mean: number; std: number; min: number; max: number } {
  return tidy(() => {
    const t = Tensor.empty(shape)
    fill(t)
    const [variance, mean] = no_grad(() => t.var_mean())
    return { mean: mean.item(), std: Math.sqrt(variance.item()), min: t.amin().item(), max: t.amax().item() }
  })
}

test('initializers have the means, deviations and bounds of PyTorch', () => {
  manual_seed(11)
  const shape = [200, 300] // 60,000 elements: a mean is off by less than 0.02 standard deviations
  const uniform = (bound: number) => ({ mean: 0, std: bound / Math.sqrt(3), bound })
  const { init } = nn
  const cases: [string, (t: Tensor) => unknown, { mean: number; std: number; bound?: number }][] = [
    ['normal_', (t) => init.normal_(t, 2, 0.5), { mean: 2, std: 0.5 }],
    ['xavier_uniform_', (t) => init.xavier_uniform_(t, 2), uniform(2 * Math.sqrt(6 / 500))],
    ['xavier_normal_', (t) => init.xavier_normal_(t), { mean: 0, std: Math.sqrt(2 / 500) }],
    ['kaiming_uniform_', (t) => init.kaiming_uniform_(t, Math.sqrt(5)), uniform(Math.sqrt(1 / 300))],
    [
      'kaiming_uniform_ relu fan_out',
      (t) => init.kaiming_uniform_(t, 0, 'fan_out', 'relu'),
      uniform(Math.sqrt(6 / 200)),
    ],
    ['kaiming_normal_', (t) => init.kaiming_normal_(t), { mean: 0, std: Math.sqrt(2 / 300) }],
    [
      'kaiming_normal_ tanh',
      (t) => init.kaiming_normal_(t, 0, 'fan_in', 'tanh'),
      { mean: 0, std: 5 / 3 / Math.sqrt(300) },
    ],
  ]
  for (const [name, fill, expected] of cases) {
    const { mean, std, min, max } = statistics(shape, fill)
    assert.ok(Math.abs(mean - expected.mean) < 0.02 * expected.std, `${name}: mean ${mean}`)
    assert.ok(Math.abs(std / expected.std - 1) < 0.02, `${name}: std ${std}, expected ${expected.std}`)
    const { bound } = expected
    if (bound)
      assert.ok(min >= -bound && max <= bound && max > 0.99 * bound && min < -0.99 * bound, `${name}: ${min} to ${max}`)
  }
  assert.equal(
    statistics([5], (t) => init.constant_(t, 3)),
    { mean: 3, std: 0, min: 3, max: 3 },
  )
  assert.equal(statistics([5], init.ones_).mean, 1)
  assert.equal(statistics([5], init.zeros_).max, 0)
  const { min, max } = statistics(shape, (t) => init.uniform_(t, 3, 5))
  assert.ok(min >= 3 && min < 3.01 && max < 5 && max > 4.99)
  assert.throws(() => init.xavier_uniform_(Tensor.empty([3])), /init: a weight of at least two dimensions has fans/)
  assert.throws(() => init.kaiming_uniform_(Tensor.empty([3, 3]), 0, 'fan'), /kaiming: mode: "fan" is not supported/)
  assert.throws(() => init.calculate_gain('softplus'), /calculate_gain: nonlinearity: "softplus" is not supported/)
})

test('layers start as PyTorch’s do, and from a seed', () => {
  const weights = (layer: nn.Module) => [...layer.parameters()].map((p) => [...(p.data as Float32Array)])
  const seeded = (make: () => nn.Module) => {
    manual_seed(5)
    const layer = make()
    const values = weights(layer)
    layer.dispose()
    return values
  }
  const within = (values: number[], bound: number) => {
    const most = Math.max(...values.map(Math.abs))
    assert.ok(most <= bound && most > 0.9 * bound, `${most} within ${bound}`)
  }
  const linear = seeded(() => new nn.Linear(100, 50))
  for (const values of linear) within(values, 0.1)
  assert.equal(
    seeded(() => new nn.Linear(100, 50)),
    linear,
  )
  for (const values of seeded(() => new nn.Conv2d(4, 60, 5, { groups: 2 }))) within(values, 1 / Math.sqrt(2 * 25))
  const [table] = seeded(() => new nn.Embedding(100, 50, { padding_idx: 3 }))
  assert.ok(table.slice(150, 200).every((x) => x === 0) && table.filter((x) => x === 0).length === 50)
  assert.ok(Math.abs(Math.sqrt(table.reduce((s, x) => s + x * x, 0) / 4950) - 1) < 0.05)
  assert.equal(
    seeded(() => new nn.LayerNorm(3)),
    [
      [1, 1, 1],
      [0, 0, 0],
    ],
  )
  assert.equal(
    seeded(() => new nn.RMSNorm(2)),
    [[1, 1]],
  )
})

test.run()
