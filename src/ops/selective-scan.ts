// Selective scan: the recurrence of Mamba, over all tokens at once.
import { tidy } from '../tensor/scope.ts'
import { type Shape, show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { ShapeError } from '../util/errors.ts'
import { launch } from '../wasm/index.ts'
import { asContiguous, packed } from './copying.ts'
import { cast } from './elementwise.ts'
import { zerosOf } from './indices.ts'
import { matmul } from './matmul.ts'
import { stack } from './movement.ts'
import { defineOp } from './op.ts'
import { Nd } from './reference.ts'

/** Tokens of a launch, so that no chunk takes long. */
const TOKENS = 512
const zeros = (shape: Shape) => zerosOf(shape, 'float32', 'selective_scan')
/** States that a chunk steps on, in some tenths of a millisecond. */
const GRAIN = 1 << 17

function check(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | null): void {
  if (x.ndim !== 3) throw new ShapeError(`selective_scan: x must be (B, T, I), found shape ${show(x.shape)}`)
  if (A.ndim !== 2 || A.shape[0] !== x.shape[2])
    throw new ShapeError(`selective_scan: A must be (I, N) with I ${x.shape[2]}, found shape ${show(A.shape)}`)
  const [b, t, i] = x.shape
  const n = A.shape[1]
  for (const [name, tensor, shape] of [
    ['dt', dt, [b, t, i]],
    ['B', B, [b, t, n]],
    ['C', C, [b, t, n]],
    ['state', state, [b, i, n]],
  ] as const)
    if (tensor && show(tensor.shape) !== show(shape))
      throw new ShapeError(`selective_scan: ${name} has shape ${show(tensor.shape)}, expected ${show(shape)}`)
}

/**
 * The selective state space recurrence (Gu and Dao 2023): for each channel a state h of N numbers, from `state` (B,I,N) or zeros,
 * h = h exp(dt A) + dt x B, and what is seen of it, y = Σ h C. x and dt are (B,T,I), A is (I,N), B and C are (B,T,N).
 * Gives [y (B,T,I), the last state (B,I,N)], in float32.
 * @throws ShapeError for shapes that do not go together
 */
export const selective_scan = defineOp({
  name: 'selective_scan',
  params: ['x', 'dt', 'A', 'B', 'C', 'state'],
  forward(record, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | null = null): Tensor[] {
    check(x, dt, A, B, C, state)
    const given = state ? [x, dt, A, B, C, state] : [x, dt, A, B, C]
    const types = given.map((t) => t.dtype)
    const operands = given.map((t) => asContiguous(cast(t, 'float32')))
    const [xs, dts, a, b, c, before] = operands
    const [batch, T, I] = x.shape
    const N = A.shape[1]
    const h = before ? packed(before) : zeros([batch, I, N])
    const y = Tensor.empty([batch, T, I], 'float32', 'selective_scan')
    for (let first = 0; first < T; first += TOKENS) {
      const last = Math.min(first + TOKENS, T)
      launch(
        'selective_scan_f32',
        [xs.ptr, dts.ptr, a.ptr, b.ptr, c.ptr, h.ptr, y.ptr, T, I, N, first, last],
        batch * I,
        Math.ceil(GRAIN / Math.max(1, (last - first) * N)),
      )
    }
    return record([y, h], operands, ([gy, gh], saved) => backward(gy, gh, saved).map((grad, i) => cast(grad, types[i])))
  },
  ref(x: Nd, dt: Nd, A: Nd, B: Nd, C: Nd, state: Nd | null = null) {
    const [batch, T, I] = x.shape
    const N = A.shape[1]
    const h = state ? Float64Array.from(state.data) : new Float64Array(batch * I * N)
    const y = Nd.of(x.shape, () => 0)
    for (let t = 0; t < T; t++)
      for (let unit = 0; unit < batch * I; unit++) {
        const [token, i] = [Math.floor(unit / I) * T + t, unit % I]
        const at = token * I + i
        for (let n = 0; n < N; n++) {
          const next = h[unit * N + n] * Math.exp(dt.data[at] * A.data[i * N + n])
          h[unit * N + n] = next + dt.data[at] * x.data[at] * B.data[token * N + n]
          y.data[at] += h[unit * N + n] * C.data[token * N + n]
        }
      }
    return [y, new Nd([batch, I, N], h)]
  },
  samples: (s) => {
    const of = (b: number, t: number, i: number, n: number, state = true) => [
      s.randn(b, t, i),
      s.randn(b, t, i).map((v) => Math.log1p(Math.exp(v))),
      s.randn(i, n).map((v) => -Math.exp(v / 2)),
      s.randn(b, t, n),
      s.randn(b, t, n),
      ...(state ? [s.randn(b, i, n)] : []),
    ]
    return [
      of(2, 3, 5, 7),
      of(1, 5, 3, 4, false),
      of(2, 1, 4, 9),
      of(1, 2, 2, 3),
      of(2, 0, 3, 4),
      of(1, 4, 1, 1, false),
    ]
  },
  errors: (s) => [
    [
      [s.randn(2, 3), s.randn(2, 3), s.randn(3, 4), s.randn(2, 4), s.randn(2, 4)],
      /selective_scan: x must be \(B, T, I\), found shape \[2, 3\]/,
    ],
    [
      [s.randn(1, 2, 3), s.randn(1, 2, 3), s.randn(4, 3), s.randn(1, 2, 4), s.randn(1, 2, 4)],
      /selective_scan: A must be \(I, N\) with I 3, found shape \[4, 3\]/,
    ],
    [
      [s.randn(1, 2, 3), s.randn(1, 2, 3), s.randn(3, 4), s.randn(1, 2, 5), s.randn(1, 2, 4)],
      /selective_scan: B has shape \[1, 2, 5\], expected \[1, 2, 4\]/,
    ],
  ],
})

/** Gradients of the operands, by going through the states once more, and back. */
function backward(gy: Tensor, last: Tensor, [x, dt, A, B, C, before]: Tensor[]): Tensor[] {
  const T = x.shape[1]
  const taken = x.mul(dt) // (B,T,I)
  const decay = (t: number) => dt.select(1, t).unsqueeze(-1).mul(A).exp() // (B,I,N)
  const column = (of: Tensor, t: number) => of.select(1, t).unsqueeze(-1) // (B,·,1)
  const row = (of: Tensor, t: number) => of.select(1, t).unsqueeze(1) // (B,1,·)

  const states = [before ?? zeros(last.shape)] // before each token, and behind the last
  for (let t = 0; t < T; t++) states.push(tidy(() => states[t].mul(decay(t)).add(column(taken, t).mul(row(B, t)))))

  let gh = last
  let gA = zeros(A.shape)
  const each: Tensor[][] = [] // of taken, dt, B and C
  for (let t = T - 1; t >= 0; t--) {
    const [nextH, nextA, ...rest] = tidy(() => {
      const g = gh.add(column(gy, t).mul(row(C, t))) // (B,I,N)
      const e = decay(t)
      const m = g.mul(states[t]).mul(e) // of dt A
      return [
        g.mul(e),
        gA.add(m.mul(column(dt, t)).sum(0)),
        matmul(g, column(B, t)).squeeze(-1), // (B,I)
        m.mul(A).sum(-1), // (B,I)
        matmul(row(taken, t), g).squeeze(1), // (B,N)
        matmul(row(gy, t), states[t + 1]).squeeze(1), // (B,N)
      ]
    })
    gh = nextH
    gA = nextA
    each.unshift(rest)
  }
  const over = (i: number, like: Tensor) =>
    T === 0
      ? zeros(like.shape)
      : stack(
          each.map((g) => g[i]),
          1,
        )
  const gTaken = over(0, x)
  const grads = [gTaken.mul(dt), gTaken.mul(x).add(over(1, dt)), gA, over(2, B), over(3, C)]
  return before ? [...grads, gh] : grads
}
