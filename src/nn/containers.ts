// Modules that hold modules.
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import { Module } from './module.ts'

/** A list of modules, whose paths are its positions (torch.nn.ModuleList). */
export class ModuleList<M extends Module = Module> extends Module<never[], never> {
  [index: number]: M
  constructor(modules: Iterable<M> = []) {
    super()
    this.extend(modules)
  }

  /** Number of modules in it. */
  override get length(): number {
    return [...this].length
  }

  /** The module at a position, counted from the end when negative. */
  at(index: number): M | undefined {
    return [...this].at(index)
  }

  append(module: M): this {
    this[this.length] = module
    return this
  }

  extend(modules: Iterable<M>): this {
    let i = this.length
    for (const module of modules) this[i++] = module
    return this
  }

  *[Symbol.iterator](): Generator<M> {
    for (let i = 0; Object.hasOwn(this, i); i++) yield this[i]
  }

  forward(): never {
    throw new RushlightError('ModuleList: it has no forward. Hint: call the modules in it')
  }

  /** Equal modules in a row on one line, as torch prints: `(0-5): 6 x Linear(…)`. */
  protected override childLines(): [label: string, text: string][] {
    const runs: { first: number; last: number; text: string }[] = []
    for (const [name, text] of super.childLines()) {
      const run = runs.at(-1)
      if (run && run.text === text) run.last = Number(name)
      else runs.push({ first: Number(name), last: Number(name), text })
    }
    return runs.map(({ first, last, text }) =>
      first === last ? [`${first}`, text] : [`${first}-${last}`, `${last - first + 1} x ${text}`],
    )
  }
}

/** Modules called one after another (torch.nn.Sequential). */
export class Sequential extends Module<[input: Tensor], Tensor> {
  [index: number]: Module<[Tensor], Tensor>
  constructor(...modules: Module<[input: Tensor], Tensor>[]) {
    super()
    modules.forEach((module, i) => {
      this[i] = module
    })
  }

  /** Number of modules in it. */
  override get length(): number {
    return [...this].length
  }

  *[Symbol.iterator](): Generator<Module<[Tensor], Tensor>> {
    for (let i = 0; Object.hasOwn(this, i); i++) yield this[i]
  }

  forward(input: Tensor): Tensor {
    let x = input
    for (const module of this) x = module(x)
    return x
  }
}
