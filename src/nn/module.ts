// Module: a callable tree of parameters. A module's path in the tree is its weights' name in the checkpoint.
import '../ops/index.ts' // gives Tensor its methods
import { isGradRequested, is_grad_enabled, no_grad } from '../tensor/autograd.ts'
import { DEVICES, type DType, dtypeOf, isFloating } from '../tensor/dtype.ts'
import { tidy } from '../tensor/scope.ts'
import { sameShape, show } from '../tensor/shape.ts'
import type { Storage } from '../tensor/storage.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { Callable } from '../util/callable.ts'
import { checkOptions, RushlightError, unsupported } from '../util/errors.ts'
import { Parameter } from './parameter.ts'

/**
 * Base of layers and models (torch.nn.Module). Subclasses say their call's type, `class MLP extends Module<[x: Tensor], Tensor>`,
 * set parameters and modules as fields, and define forward. Fields are spelled as in the checkpoint; their order is the parameters' order.
 *
 * In train mode a call is recorded as any op is. In eval mode it records nothing and frees its intermediates, unless it is inside
 * `enable_grad(() => …)`.
 */
export abstract class Module<A extends unknown[] = never[], R = unknown> extends Callable<A, R> {
  /** Whether dropout and the like are on. Set by train() and eval(). */
  training = true

  /** What the module computes. Call the module itself, not this. */
  abstract forward(...args: A): R

  /** @internal */
  override _call(...args: A): R {
    if (!is_grad_enabled()) return tidy(() => this.forward(...args))
    if (!this.training && !isGradRequested()) return no_grad(() => tidy(() => this.forward(...args)))
    return this.forward(...args)
  }

  /** Direct submodules by field name; those in lists by `field.0`, `field.1` …: ModuleList is itself a module. */
  *named_children(): Generator<[string, Module]> {
    for (const [name, value] of Object.entries(this)) if (value instanceof Module) yield [name, value]
  }

  /** This module and all below it, by path; its own path is the prefix. Each once, where several paths lead to it. */
  *named_modules(prefix = '', seen = new Set<Module>()): Generator<[string, Module]> {
    if (seen.has(this)) return
    seen.add(this)
    yield [prefix, this]
    for (const [name, child] of this.named_children()) yield* child.named_modules(join(prefix, name), seen)
  }

  /** Direct submodules. */
  *children(): Generator<Module> {
    for (const [, child] of this.named_children()) yield child
  }

  /** All modules, this one first. */
  *modules(): Generator<Module> {
    for (const [, module] of this.named_modules()) yield module
  }

  /** Parameters and buffers of this module alone, with tied ones under each of their names. @internal */
  *ownTensors(): Generator<[string, Parameter]> {
    for (const [name, value] of Object.entries(this)) if (value instanceof Parameter) yield [name, value]
  }

  /** Parameters by path, each once (torch.nn.Module.named_parameters). */
  *named_parameters(): Generator<[string, Parameter]> {
    const seen = new Set<Parameter>()
    for (const [path, module] of this.named_modules())
      for (const [name, tensor] of module.ownTensors()) {
        if (seen.has(tensor) || module.bufferNames.has(name)) continue
        seen.add(tensor)
        yield [join(path, name), tensor]
      }
  }

  /** Parameters in order, each once. */
  *parameters(): Generator<Parameter> {
    for (const [, parameter] of this.named_parameters()) yield parameter
  }

  /** Buffers by path: tensors that are saved and moved with the module but not learned. */
  *named_buffers(): Generator<[string, Parameter]> {
    for (const [path, module] of this.named_modules())
      for (const [name, tensor] of module.ownTensors())
        if (module.bufferNames.has(name)) yield [join(path, name), tensor]
  }

  /** Sets a field that is a buffer; a buffer that is not persistent is left out of state_dict. */
  register_buffer(name: string, tensor: Tensor, persistent = true): void {
    const buffer = new Parameter(tensor, false)
    buffer.persistent = persistent
    ;(this as unknown as Record<string, Parameter>)[name] = buffer
    this.bufferNames.add(name)
  }
  /** @internal */
  readonly bufferNames = new Set<string>()

  /** The module at a path such as `model.layers.0.mlp`. @throws RushlightError when there is none */
  get_submodule(path: string): Module {
    let at: Module = this
    for (const name of path === '' ? [] : path.split('.')) {
      const next = Object.hasOwn(at, name) ? (at as unknown as Record<string, unknown>)[name] : undefined
      if (!(next instanceof Module))
        throw new RushlightError(`get_submodule: there is no module ${path} (no ${name} in it)`)
      at = next
    }
    return at
  }

  /** Tensors by checkpoint name, tied ones under each name (torch.nn.Module.state_dict). They share memory with the module. */
  state_dict(): Map<string, Tensor> {
    const state = new Map<string, Tensor>()
    const visit = (module: Module, path: string) => {
      for (const [name, tensor] of module.ownTensors()) if (tensor.persistent) state.set(join(path, name), tensor)
      for (const [name, child] of module.named_children()) visit(child, join(path, name))
    }
    visit(this, '')
    return state
  }

  /**
   * Copies tensors into the module by name. Returns what did not fit.
   * @param strict throw when anything is missing, unexpected or mis-shaped (default true)
   * @throws RushlightError listing every name that does not fit
   */
  load_state_dict(
    state: Map<string, Tensor> | Record<string, Tensor>,
    strict: boolean | { strict?: boolean } = true,
  ): { missing_keys: string[]; unexpected_keys: string[] } {
    if (typeof strict === 'object') checkOptions('load_state_dict', strict, ['strict'])
    const insists = typeof strict === 'object' ? (strict.strict ?? true) : strict
    const given = state instanceof Map ? state : new Map(Object.entries(state))
    const own = this.state_dict()
    const missing_keys = [...own.keys()].filter((name) => !given.has(name))
    const unexpected_keys = [...given.keys()].filter((name) => !own.has(name))
    const misfits: string[] = []
    for (const [name, target] of own) {
      const source = given.get(name)
      if (source && !sameShape(source.shape, target.shape))
        misfits.push(`${name}: expected ${show(target.shape)}, found ${show(source.shape)}`)
    }
    const report = [
      ...(missing_keys.length && insists ? [`missing: ${missing_keys.join(', ')}`] : []),
      ...(unexpected_keys.length && insists ? [`unexpected: ${unexpected_keys.join(', ')}`] : []),
      ...(misfits.length ? [`mis-shaped: ${misfits.join('; ')}`] : []),
    ]
    if (report.length) throw new RushlightError(`load_state_dict: ${report.join('. ')}`)
    no_grad(() =>
      tidy(() => {
        for (const [name, target] of own) {
          const source = given.get(name)
          if (source) target.adopt(storageCopy(source, target.dtype), target.dtype)
        }
      }),
    )
    return { missing_keys, unexpected_keys }
  }

  /** Train mode, for this module and all below it. Returns it. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode
    return this
  }

  /** Eval mode: dropout off, calls record nothing. Returns it. */
  eval(): this {
    return this.train(false)
  }

  /**
   * Casts floating parameters, their gradients, and buffers, in place; what has no memory yet stays so. A device is accepted where it
   * is the one there is.
   * @throws RushlightError for another device or dtype
   */
  to(target: DType | string | { dtype?: string; device?: string }): this {
    const options: { dtype?: string; device?: string } =
      typeof target === 'object' ? target : DEVICES.includes(target) ? { device: target } : { dtype: target }
    checkOptions('to', options, ['dtype', 'device'])
    const { dtype, device } = options
    if (device !== undefined && !DEVICES.includes(device)) throw unsupported('to', 'device', device, DEVICES)
    if (dtype === undefined) return this
    const wanted = dtypeOf(dtype)
    if (!isFloating(wanted)) throw new RushlightError(`to: a module's parameters are floating, found ${wanted}`)
    no_grad(() =>
      tidy(() => {
        for (const module of this.modules())
          for (const [, tensor] of module.ownTensors()) {
            if (!isFloating(tensor.dtype) || tensor.dtype === wanted) continue
            if (!tensor.materialized) tensor.initializeWith(undefined, wanted)
            else tensor.adopt(storageCopy(tensor, wanted), wanted)
            const { grad } = tensor
            if (grad) grad.adopt(storageCopy(grad, wanted), wanted)
          }
      }),
    )
    return this
  }

  /** Turns gradients on or off for all parameters. Returns it. */
  requires_grad_(value = true): this {
    for (const parameter of this.parameters()) parameter.requires_grad_(value)
    return this
  }

  /** Frees the gradients of all parameters. */
  zero_grad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose()
      parameter.grad = null
    }
  }

  /** Calls `fn` on each module, children first. Returns it. */
  override apply(fn: (module: Module) => void): this {
    for (const [, child] of this.named_children()) child.apply(fn)
    fn(this)
    return this
  }

  /** Gives the memory of every parameter and buffer back. The module cannot be used afterwards. */
  dispose(): void {
    for (const module of this.modules()) module.release()
  }

  /** @internal Frees what this module alone holds. */
  protected release(): void {
    for (const [, tensor] of this.ownTensors()) tensor.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  /** What print shows in parentheses for this kind of module. */
  extra_repr(): string {
    return ''
  }

  /** The tree, as torch prints it. */
  override toString(): string {
    const children = this.childLines().map(([label, text]) => `(${label}): ${text.replaceAll('\n', '\n  ')}`)
    const extra = this.extra_repr()
    if (children.length === 0) return `${this.constructor.name}(${extra})`
    return `${this.constructor.name}(\n${[...(extra ? [extra] : []), ...children].map((line) => `  ${line}\n`).join('')})`
  }
  /** What print shows of the modules in it, by name. */
  protected childLines(): [label: string, text: string][] {
    return [...this.named_children()].map(([name, child]) => [name, child.toString()])
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

/** The elements of a tensor in that dtype, in a storage of their own. */
function storageCopy(tensor: Tensor, dtype: DType): Storage {
  const copy = tensor.to(dtype, { copy: true })
  return copy.storage.retain()
}
