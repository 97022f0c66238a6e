// What every optimizer has: groups of parameters with their options, a state for each parameter, and the dictionaries of both.
import { enable_grad, no_grad } from '../tensor/autograd.ts'
import { keep } from '../tensor/scope.ts'
import { show } from '../tensor/shape.ts'
import { Tensor } from '../tensor/tensor.ts'
import { checkOptions, DTypeError, RushlightError, ShapeError } from '../util/errors.ts'

/** What an optimizer keeps of one parameter: tensors of its shape, and numbers such as `step`. */
export type State = Record<string, Tensor | number>

/** Parameters that share their options. Change an option, such as `lr`, and the next step takes it. */
export type ParamGroup<Options> = Options & { params: Tensor[]; initial_lr?: number }

/** Parameters, or groups of them with options of their own. */
export type Params<Options> = Iterable<Tensor> | Iterable<Partial<Options> & { params: Iterable<Tensor> | Tensor }>

/** As torch's: state by the place of the parameter, groups with places instead of parameters. */
export interface OptimizerState<Options> {
  state: Record<string, State>
  param_groups: (Options & { params: number[]; initial_lr?: number })[]
}

/** Base of the optimizers (torch.optim.Optimizer). It owns its state: dispose() gives that memory back. */
export abstract class Optimizer<Options extends { lr: number }> {
  readonly param_groups: ParamGroup<Options>[] = []
  readonly state = new Map<Tensor, State>()
  /** What a group does not say. */
  readonly defaults: Options

  constructor(
    /** As errors call it. */
    protected readonly name: string,
    params: Params<Options>,
    defaults: Options,
    options: Partial<Options>,
  ) {
    checkOptions(name, options, Object.keys(defaults))
    this.defaults = { ...defaults, ...options }
    if (params instanceof Tensor)
      throw new RushlightError(`${name}: expected a list of parameters, found one tensor. Hint: [parameter]`)
    const list = [...params] as (Tensor | (Partial<Options> & { params: Iterable<Tensor> | Tensor }))[]
    if (list.length === 0) throw new RushlightError(`${name}: the list of parameters is empty`)
    if (list.every((p) => p instanceof Tensor))
      this.add_param_group({ params: list } as Partial<Options> & { params: Tensor[] })
    else for (const group of list) this.add_param_group(group as Partial<Options> & { params: Iterable<Tensor> })
  }

  /** Checks the options of a group. @throws RushlightError naming the first one out of range */
  protected abstract check(options: Options): void

  /** Updates one parameter by its gradient. */
  protected abstract update(parameter: Tensor, grad: Tensor, options: Options): void

  /** Adds parameters with options of their own. */
  add_param_group(group: Partial<Options> & { params: Iterable<Tensor> | Tensor }): void {
    if (group === null || typeof group !== 'object' || !('params' in group))
      throw new RushlightError(`${this.name}: expected tensors, or groups { params: [...], lr: ... }`)
    const params = group.params instanceof Tensor ? [group.params] : [...group.params]
    const { params: _, ...own } = group
    checkOptions(this.name, own, [...Object.keys(this.defaults), 'initial_lr'])
    const options = { ...this.defaults, ...own } as Options
    this.check(options)
    const known = new Set(this.parameters())
    for (const p of params) {
      if (!(p instanceof Tensor))
        throw new RushlightError(`${this.name}: expected tensors as parameters, found ${typeof p}`)
      if (p.node)
        throw new RushlightError(
          `${this.name}: a parameter of shape ${show(p.shape)} is the result of an operation: only leaves can be optimized`,
        )
      if (known.has(p))
        throw new RushlightError(
          `${this.name}: a parameter of shape ${show(p.shape)} is given twice. Hint: parameters() has tied ones once`,
        )
      known.add(p)
    }
    this.param_groups.push({ ...options, params })
  }

  private parameters(): Tensor[] {
    return this.param_groups.flatMap(({ params }) => params)
  }

  /** Lets the gradients go; with `set_to_none` false they become zeros instead. */
  zero_grad(set_to_none: boolean | { set_to_none?: boolean } = true): void {
    const drop = typeof set_to_none === 'boolean' ? set_to_none : (set_to_none.set_to_none ?? true)
    for (const p of this.parameters()) {
      if (!p.grad) continue
      if (drop) {
        p.grad.dispose()
        p.grad = null
      } else p.grad.fill_(0)
    }
  }

  /**
   * Updates every parameter that has a gradient.
   * @param closure computes the loss and its gradients first; its result is given back
   */
  step(): void
  step<R>(closure: () => R): R
  step<R>(closure?: () => R): R | undefined {
    const loss = closure ? enable_grad(closure) : undefined
    no_grad(() => {
      for (const group of this.param_groups)
        for (const p of group.params) {
          if (!p.grad) continue
          if (p.dtype !== 'float32')
            throw new DTypeError(
              `${this.name}: a parameter of shape ${show(p.shape)} is ${p.dtype}, expected float32. Hint: model.to('float32') before training`,
            )
          if (!p.is_contiguous() || !p.grad.is_contiguous())
            throw new RushlightError(`${this.name}: a parameter of shape ${show(p.shape)} is not contiguous`)
          this.update(p, p.grad, group)
          p.storage.version++
        }
    })
    return loss
  }

  /** The state of a parameter; a new one, made by `create`, at its first step. */
  protected stateOf(parameter: Tensor, create: () => State): State {
    let state = this.state.get(parameter)
    if (!state) this.state.set(parameter, (state = create()))
    return state
  }

  /** The state and the options, as torch's: tensors are the optimizer's own, not copies. */
  state_dict(): OptimizerState<Options> {
    const places = new Map(this.parameters().map((p, i) => [p, i]))
    const state: Record<string, State> = {}
    for (const [p, slots] of this.state) state[places.get(p) as number] = { ...slots }
    return {
      state,
      param_groups: this.param_groups.map((group) => ({
        ...group,
        params: group.params.map((p) => places.get(p) as number),
      })),
    }
  }

  /** Takes over copies of a state and its options. @throws RushlightError when they do not fit these parameters */
  load_state_dict({ state, param_groups }: OptimizerState<Options>): void {
    const sizes = (groups: { params: unknown[] }[]) => groups.map(({ params }) => params.length).join(', ')
    if (sizes(param_groups) !== sizes(this.param_groups))
      throw new RushlightError(
        `${this.name}: load_state_dict: groups of ${sizes(param_groups)} parameters do not fit this optimizer's of ${sizes(this.param_groups)}`,
      )
    // Parameters are told by the numbers that the groups give them.
    const numbers = param_groups.flatMap(({ params }) => params)
    const byNumber = new Map(this.parameters().map((p, i) => [String(numbers[i]), p]))
    for (const [number, slots] of Object.entries(state)) {
      const p = byNumber.get(number)
      if (!p)
        throw new RushlightError(`${this.name}: load_state_dict: state for parameter ${number}, which no group has`)
      for (const [slot, value] of Object.entries(slots))
        if (value instanceof Tensor && value.ndim > 0 && show(value.shape) !== show(p.shape))
          throw new ShapeError(
            `${this.name}: load_state_dict: ${slot} of parameter ${number} has shape ${show(value.shape)}, expected ${show(p.shape)}`,
          )
    }
    this.forget()
    no_grad(() => {
      for (const [number, slots] of Object.entries(state)) {
        const own: State = {}
        for (const [slot, value] of Object.entries(slots)) {
          // torch keeps `step` as a tensor of no dimensions.
          if (value instanceof Tensor)
            own[slot] = value.ndim === 0 ? Number(value.item()) : keep(value.to('float32').clone())
          else own[slot] = value
        }
        this.state.set(byNumber.get(number) as Tensor, own)
      }
    })
    param_groups.forEach((given, i) => {
      const { params: _, ...options } = given
      Object.assign(this.param_groups[i], options)
    })
  }

  private forget(): void {
    for (const slots of this.state.values())
      for (const value of Object.values(slots)) if (value instanceof Tensor) value.dispose()
    this.state.clear()
  }

  /** Gives the memory of the state back. The parameters stay. */
  dispose(): void {
    this.forget()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/** A buffer of zeros beside a parameter, which the optimizer owns. */
export function zerosBeside(parameter: Tensor): Tensor {
  return keep(Tensor.empty(parameter.shape, 'float32', 'optimizer state').fill_(0))
}

/** @throws RushlightError naming optimizer and option when a number is out of range */
export function checkRange(where: string, option: string, value: number, fits: boolean, expected: string): void {
  if (!fits) throw new RushlightError(`${where}: ${option} must be ${expected}, found ${value}`)
}
