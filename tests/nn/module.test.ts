// Module: names and order, states, modes, casts, ownership.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as nn from '../../src/nn/index.ts'
import { ones, tensor, zeros } from '../../src/ops/creation.ts'
import '../../src/ops/index.ts'
import { enable_grad, no_grad } from '../../src/tensor/autograd.ts'
import { tidy } from '../../src/tensor/scope.ts'
import { liveTensors, type Tensor } from '../../src/tensor/tensor.ts'
import { heapUsage } from '../../src/wasm/index.ts'
import golden from '../golden/nn.json'

/** Embedding, two layers and a head that is tied to the embedding. */
class Net extends nn.Module<[ids: Tensor], Tensor> {
  embed = new nn.Embedding(5, 4)
  layers = new nn.ModuleList([new nn.Linear(4, 4), new nn.Linear(4, 4, false)])
  scale: nn.Parameter
  head = new nn.Linear(4, 5, false)

  constructor(tied = true) {
    super()
    this.scale = tidy(() => new nn.Parameter(ones([4])))
    if (tied) {
      this.head.weight.dispose()
      this.head.weight = this.embed.weight
    }
    tidy(() => this.register_buffer('offset', tensor([1, 2, 3, 4])))
    tidy(() => this.register_buffer('cache', zeros([2]), false))
  }

  forward(ids: Tensor): Tensor {
    let x = this.embed(ids).add(this.offset)
    for (const layer of this.layers) x = layer(x).tanh()
    return this.head(x.mul(this.scale))
  }
  declare offset: nn.Parameter
}

/** What a test leaves on the heap is a leak. */
function leakFree(name: string, fn: () => void): void {
  test(name, () => {
    const before = [heapUsage().used, liveTensors()]
    fn()
    assert.equal([heapUsage().used, liveTensors()], before, 'bytes and tensors left')
  })
}

const ids = () => tensor([0n, 3n, 1n])
const names = (entries: Iterable<[string, unknown]>) => [...entries].map(([name]) => name)

leakFree('parameters come in field order, each once; buffers apart', () => {
  const net = new Net()
  // torch lists a module's own parameters before those of its children.
  assert.equal(names(net.named_parameters()), [
    'scale',
    'embed.weight',
    'layers.0.weight',
    'layers.0.bias',
    'layers.1.weight',
  ])
  assert.equal(names(net.named_buffers()), ['offset', 'cache'])
  assert.equal(names(net.state_dict()), [
    'scale',
    'offset',
    'embed.weight',
    'layers.0.weight',
    'layers.0.bias',
    'layers.1.weight',
    'head.weight',
  ])
  assert.equal(names(net.named_modules()), ['', 'embed', 'layers', 'layers.0', 'layers.1', 'head'])
  assert.equal(names(net.named_children()), ['embed', 'layers', 'head'])
  assert.is([...net.children()].length, 3)
  assert.is([...net.parameters()].length, 5)
  assert.ok(net.get_submodule('layers.1') === net.layers[1] && net.get_submodule('') === net)
  assert.throws(() => net.get_submodule('layers.2'), /get_submodule: there is no module layers\.2 \(no 2 in it\)/)
  net.dispose()
})

leakFree('a module is called as a function', () => {
  const net = new Net()
  assert.type(net, 'function')
  assert.instance(net, nn.Module)
  assert.is((net as { name?: string }).name, undefined)
  tidy(() => assert.equal(net(ids()).shape, [3, 5]))
  net.dispose()
})

leakFree('tied weights are one parameter, whose gradient is the sum of both uses', () => {
  const [tied, apart] = [new Net(), new Net(false)]
  tidy(() => {
    apart.load_state_dict(tied.state_dict())
    for (const net of [tied, apart]) net(ids()).square().sum().backward()
    const sum = apart.embed.weight.grad?.add(apart.head.weight.grad as Tensor) as Tensor
    assert.ok((tied.embed.weight.grad as Tensor).allclose(sum, 1e-5, 1e-6))
  })
  tied.dispose()
  apart.dispose()
})

leakFree('load_state_dict copies, and says all that does not fit', () => {
  const [a, b] = [new Net(), new Net()]
  tidy(() => {
    const state = a.state_dict()
    assert.equal(b.load_state_dict(state), { missing_keys: [], unexpected_keys: [] })
    for (const [name, t] of b.state_dict()) assert.ok(t.equal(state.get(name) as Tensor), name)
    no_grad(() => a.scale.fill_(7))
    assert.equal(b.scale.tolist(), [1, 1, 1, 1])

    const wrong = Object.fromEntries(state) as Record<string, Tensor>
    delete wrong.scale
    wrong.extra = ones([1])
    wrong['layers.0.bias'] = ones([3])
    const before = b.layers[0].bias?.tolist()
    assert.throws(
      () => b.load_state_dict(wrong),
      /load_state_dict: missing: scale\. unexpected: extra\. mis-shaped: layers\.0\.bias: expected \[4\], found \[3\]/,
    )
    assert.throws(() => b.load_state_dict(wrong, false), /^(?!.*missing).*mis-shaped: layers\.0\.bias/)
    assert.throws(
      () => b.load_state_dict(wrong, { strickt: false } as never),
      /load_state_dict: unsupported option strickt/,
    )
    assert.equal(b.layers[0].bias?.tolist(), before, 'nothing was copied')
    wrong['layers.0.bias'] = tensor([1n, 2n, 3n, 4n])
    assert.equal(b.load_state_dict(wrong, { strict: false }), { missing_keys: ['scale'], unexpected_keys: ['extra'] })
    assert.equal(b.layers[0].bias?.tolist(), [1, 2, 3, 4])
    assert.is(b.layers[0].bias?.dtype, 'float32')
    // A module's own state may be loaded into it.
    b.load_state_dict(b.state_dict())
    assert.equal(b.layers[0].bias?.tolist(), [1, 2, 3, 4])
  })
  a.dispose()
  b.dispose()
})

leakFree('train and eval go down the tree', () => {
  const net = new Net()
  assert.ok(net.training && net.head.training)
  assert.ok(net.eval() === net)
  assert.ok([...net.modules()].every((m) => !m.training))
  net.train()
  assert.ok([...net.modules()].every((m) => m.training))
  net.dispose()
})

leakFree('eval records nothing and frees what is in between, but inside enable_grad', () => {
  const net = new Net().eval()
  tidy(() => {
    const input = ids()
    const first = net(input)
    assert.not(first.requires_grad)
    assert.throws(() => first.sum().backward(), /a model in eval\(\) records only inside enable_grad/)
    const tensors = liveTensors()
    net(input)
    assert.is(liveTensors(), tensors + 1, 'the output alone')
    assert.ok(enable_grad(() => net(input)).requires_grad)
    assert.not(enable_grad(() => no_grad(() => net(input))).requires_grad)
    assert.ok(net.train()(input).requires_grad)
    assert.not(no_grad(() => net(input)).requires_grad)
  })
  net.dispose()
})

leakFree('to casts parameters, gradients and floating buffers, and keeps the objects', () => {
  const net = new Net()
  tidy(() => {
    const weight = net.layers[0].weight
    net(ids()).sum().backward()
    const values = weight.tolist().flat()
    assert.ok(net.to('bfloat16') === net)
    assert.ok(net.layers[0].weight === weight)
    assert.equal([weight.dtype, weight.grad?.dtype, net.offset.dtype], ['bfloat16', 'bfloat16', 'bfloat16'])
    assert.ok(net.head.weight === net.embed.weight, 'still tied')
    weight
      .tolist()
      .flat()
      .forEach((x: number, i: number) => assert.ok(Math.abs(x - values[i]) <= 2 ** -8 * Math.abs(values[i])))
    net.to({ dtype: 'float32', device: 'cpu' }).to('wasm')
    assert.is(weight.dtype, 'float32')
    net(ids()).sum().backward()
    assert.throws(() => net.to('cuda:0'), /Unknown dtype 'cuda:0'/)
    assert.throws(() => net.to({ device: 'cuda' }), /to: device: "cuda" is not supported/)
    assert.throws(() => net.to({ type: 'x' } as never), /to: unsupported option type/)
    assert.throws(() => net.to('int64'), /to: a module's parameters are floating, found int64/)
  })
  net.dispose()
})

leakFree('parameters take no memory until they are used, even when cast before', () => {
  const used = heapUsage().used
  const layer = new nn.Linear(1000, 1000).to('bfloat16')
  assert.is(heapUsage().used, used)
  assert.not(layer.weight.materialized)
  assert.equal([layer.weight.dtype, layer.weight.shape], ['bfloat16', [1000, 1000]])
  const most = tidy(() => layer.weight.float().abs().amax().item())
  assert.ok(most > 0.03 && most < 0.032, `uniform within 1/√1000, found ${most}`)
  assert.is(heapUsage().used, used + 2e6)
  layer.dispose()
})

test('an initializer that fails can be tried again', () => {
  let failing = true
  const parameter = nn.Parameter.lazy([2], (t) => {
    if (failing) throw new Error('not yet')
    nn.init.ones_(t)
  })
  const { used } = heapUsage()
  assert.throws(() => parameter.tolist(), /not yet/)
  assert.is(heapUsage().used, used)
  failing = false
  assert.equal(parameter.tolist(), [1, 1])
  parameter.dispose()
})

leakFree('a parameter of a tensor shares its memory, of a part copies', () => {
  tidy(() => {
    const whole = tensor([
      [1, 2],
      [3, 4],
    ])
    const shared = new nn.Parameter(whole)
    no_grad(() => whole.fill_(9))
    assert.equal(shared.tolist(), [
      [9, 9],
      [9, 9],
    ])
    const [row, turned] = [new nn.Parameter(whole.select(0, 1)), new nn.Parameter(whole.t(), false)]
    no_grad(() => whole.fill_(0))
    assert.equal(
      [row.tolist(), turned.tolist()],
      [
        [9, 9],
        [
          [9, 9],
          [9, 9],
        ],
      ],
    )
    assert.ok(shared.requires_grad && shared.is_leaf && !turned.requires_grad)
    for (const parameter of [shared, row, turned]) parameter.dispose()
    assert.throws(() => new nn.Parameter(tensor([1n])), /only floating dtypes have gradients, found int64/)
  })
})

leakFree('zero_grad, requires_grad_ and apply reach every parameter and module', () => {
  const net = new Net()
  tidy(() => net(ids()).sum().backward())
  assert.ok([...net.parameters()].every((p) => p.grad))
  net.zero_grad()
  assert.ok([...net.parameters()].every((p) => p.grad === null))
  net.requires_grad_(false)
  tidy(() => assert.not(net(ids()).requires_grad))
  const seen: string[] = []
  assert.ok(net.apply((m) => void seen.push(m.constructor.name)) === net)
  assert.equal(seen, ['Embedding', 'Linear', 'Linear', 'ModuleList', 'Linear', 'Net'])
  net.dispose()
})

leakFree('dispose frees parameters, buffers and gradients; a call then says so', () => {
  const net = new Net()
  tidy(() => net(ids()).sum().backward())
  net.dispose()
  net.dispose()
  tidy(() => assert.throws(() => net(ids()), /was used after dispose/))
})

leakFree('modules made, trained and dropped inside scopes stay whole', () => {
  const net = tidy(() => {
    const made = new Net()
    made(ids())
    return { made }
  }).made
  tidy(() => net(ids()).sum().backward())
  assert.ok([...net.parameters()].every((p) => !p.disposed && !p.grad?.disposed))
  net.dispose()
})

test('printing, as torch', () => {
  class Printed extends nn.Module {
    embed = new nn.Embedding(4, 2, 0)
    layers = new nn.ModuleList<nn.Module>([
      new nn.Linear(2, 2),
      new nn.Linear(2, 2),
      new nn.Sequential(new nn.Tanh(), new nn.Dropout(0.5)),
      new nn.Linear(2, 2),
    ])
    norm = new nn.RMSNorm(2, { eps: 1e-6 })
    forward() {}
    override extra_repr() {
      return 'width=2'
    }
  }
  assert.is(String(new Printed()).replace('Printed', 'Net'), golden.net)
})

test('ModuleList', () => {
  const list = new nn.ModuleList([new nn.ReLU()])
  const last = new nn.Tanh()
  list.append(new nn.ReLU()).extend([last])
  assert.is(list.length, 3)
  assert.ok(list.at(-1) === last && list[2] === last)
  assert.is([...list].length, 3)
  assert.throws(() => (list as unknown as () => void)(), /ModuleList: it has no forward/)
})

test.run()
