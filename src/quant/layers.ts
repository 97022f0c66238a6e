// Linear and Embedding over quantized weights, called as those of nn; and putting them in their places.
import { Embedding, Linear } from '../nn/layers.ts'
import { Module } from '../nn/module.ts'
import type { Parameter } from '../nn/parameter.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { RushlightError } from '../util/errors.ts'
import type { FormatName } from './formats.ts'
import { quantized_embedding, quantized_linear } from './ops.ts'
import { QuantizedWeight } from './weight.ts'

/** What the two have in common: the frozen weight, owned with the module but no parameter to train or save as it is. */
abstract class QuantizedModule extends Module<[input: Tensor], Tensor> {
  abstract readonly weight: QuantizedWeight

  /** @internal */
  override *ownTensors(): Generator<[string, Parameter]> {
    yield* super.ownTensors()
    const blocks = this.weight.allocated
    if (blocks) yield ['weight', blocks]
  }
}

/** y = x Wᵀ + b with W frozen in a block format. Gradients go to x and b; to be used where Linear is. */
export class QuantizedLinear extends QuantizedModule {
  readonly in_features: number
  readonly out_features: number
  bias: Parameter | null

  constructor(
    readonly weight: QuantizedWeight,
    bias: Parameter | null = null,
  ) {
    super()
    this.bufferNames.add('weight')
    ;[this.out_features, this.in_features] = weight.shape
    this.bias = bias
  }

  /** A Linear's weights, rounded. */
  static from(linear: Linear, format: FormatName): QuantizedLinear {
    return new QuantizedLinear(QuantizedWeight.quantize(linear.weight, format), linear.bias)
  }

  forward(input: Tensor): Tensor {
    return quantized_linear(input, this.weight.blocks, this.weight.format, this.out_features, this.bias)
  }

  override extra_repr(): string {
    return `in_features=${this.in_features}, out_features=${this.out_features}, bias=${this.bias ? 'True' : 'False'}, format=${this.weight.format}`
  }
}

/** Rows of a frozen table in a block format, by index; to be used where Embedding is. */
export class QuantizedEmbedding extends QuantizedModule {
  readonly num_embeddings: number
  readonly embedding_dim: number

  constructor(
    readonly weight: QuantizedWeight,
    readonly padding_idx: number | null = null,
  ) {
    super()
    this.bufferNames.add('weight')
    ;[this.num_embeddings, this.embedding_dim] = weight.shape
  }

  /** An Embedding's weights, rounded. */
  static from(embedding: Embedding, format: FormatName): QuantizedEmbedding {
    return new QuantizedEmbedding(QuantizedWeight.quantize(embedding.weight, format), embedding.padding_idx)
  }

  forward(input: Tensor): Tensor {
    return quantized_embedding(input, this.weight.blocks, this.weight.format, this.num_embeddings)
  }

  override extra_repr(): string {
    return `${this.num_embeddings}, ${this.embedding_dim}, format=${this.weight.format}`
  }
}

/** A subclass may compute something else: it stays. */
function isPlain(module: Module): module is Linear | Embedding {
  return module.constructor === Linear || module.constructor === Embedding
}

/**
 * Puts quantized modules in the places of the Linears and Embeddings whose weight's name has a format. Tied weights stay tied.
 * Weights that are in memory are rounded and given back; others are left to be filled from a file.
 * @param format the format of a weight by its name, such as `model.layers.0.mlp.up_proj.weight`; undefined leaves it
 * @returns the quantized weights by name, tied ones under each of theirs
 * @throws RushlightError when a weight is tied to what is neither
 */
export function quantize_modules(
  root: Module,
  format: (name: string) => FormatName | undefined,
): Map<string, QuantizedWeight> {
  const weights = new Map<string, QuantizedWeight>()
  const places: { owner: Module; field: string; child: Linear | Embedding; name: string }[] = []
  const visit = (owner: Module, path: string) => {
    for (const [field, child] of owner.named_children()) {
      if (isPlain(child)) places.push({ owner, field, child, name: `${path}${field}.weight` })
      else visit(child, `${path}${field}.`)
    }
  }
  visit(root, '')

  const chosen = new Map<Parameter, { format: FormatName; weight?: QuantizedWeight }>()
  for (const { child, name } of places) {
    const given = format(name)
    if (given && !chosen.has(child.weight)) chosen.set(child.weight, { format: given })
  }
  const known = new Set(places.map(({ name }) => name))
  for (const [name, tensor] of root.state_dict())
    if (chosen.has(tensor as Parameter) && !known.has(name))
      throw new RushlightError(
        `quantize: ${name} is tied to a weight to be quantized, but belongs to no Linear or Embedding`,
      )

  for (const { owner, field, child, name } of places) {
    const choice = chosen.get(child.weight)
    if (!choice) continue
    choice.weight ??= child.weight.materialized
      ? QuantizedWeight.quantize(child.weight, choice.format)
      : new QuantizedWeight(choice.format, child.weight.shape)
    const module =
      child instanceof Linear
        ? new QuantizedLinear(choice.weight, child.bias)
        : new QuantizedEmbedding(choice.weight, child.padding_idx)
    module.train(child.training)
    ;(owner as unknown as Record<string, Module>)[field] = module
    weights.set(name, choice.weight)
  }
  for (const parameter of chosen.keys()) parameter.dispose()
  return weights
}
