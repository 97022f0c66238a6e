// Feature extraction: vectors of texts (transformers' FeatureExtractionPipeline, with transformers.js's pooling and normalize).
import { AutoModel } from '../models/auto.ts'
import type { PreTrainedModel } from '../models/model.ts'
import type { BaseModelOutput } from '../models/outputs.ts'
import { no_grad } from '../tensor/autograd.ts'
import { tidy } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { PreTrainedTokenizer } from '../tokenizers/tokenizer.ts'
import { Callable } from '../util/callable.ts'
import { checkOptions, RushlightError, unsupported } from '../util/errors.ts'
import { ready } from '../wasm/index.ts'

/** Options of a call. */
export interface FeatureExtractionOptions {
  /** 'none' gives a vector a token (B,T,H); 'mean' averages a text's tokens, 'cls' takes its first: (B,H). */
  pooling?: 'none' | 'mean' | 'cls'
  /** Scale vectors to length 1. */
  normalize?: boolean
}

/** Vectors of texts. */
export class FeatureExtractionPipeline extends Callable<
  [texts: string | string[], options?: FeatureExtractionOptions],
  Promise<Tensor>
> {
  /** @param options for every call @throws UnsupportedOptionError for one that there is not */
  constructor(
    readonly model: PreTrainedModel,
    readonly tokenizer: PreTrainedTokenizer,
    private readonly options: FeatureExtractionOptions = {},
  ) {
    super()
    checkOptions('feature-extraction', options, OPTIONS)
  }

  /** @internal */
  async _call(texts: string | string[], options: FeatureExtractionOptions = {}): Promise<Tensor> {
    checkOptions('feature-extraction', options, OPTIONS)
    const { pooling = 'none', normalize = false } = { ...this.options, ...options }
    if (!POOLINGS.includes(pooling)) throw unsupported('feature-extraction', 'pooling', pooling, POOLINGS)
    if (Array.isArray(texts) && texts.length === 0)
      throw new RushlightError('feature-extraction: expected a text or a list of them, found an empty list')
    await ready()
    return no_grad(() =>
      tidy(() => {
        const inputs = this.tokenizer([texts].flat(), { padding: true, truncation: true, return_tensors: 'pt' })
        const model = this.model as unknown as (inputs: object) => BaseModelOutput
        const states = model({ ...inputs }).last_hidden_state // (B,T,H)
        const vectors = pool(states, inputs.attention_mask as unknown as Tensor, pooling)
        return normalize ? vectors.div(vectors.square().sum(-1, true).sqrt().clamp(1e-12)) : vectors
      }),
    )
  }

  /** Frees the model. */
  dispose(): void {
    this.model.dispose()
  }
}

const OPTIONS = ['pooling', 'normalize']
const POOLINGS = ['none', 'mean', 'cls'] as const

/** One vector a text, padding left out (sentence-transformers' Pooling). */
function pool(states: Tensor, mask: Tensor, pooling: (typeof POOLINGS)[number]): Tensor {
  if (pooling === 'none') return states
  if (pooling === 'cls') return states.select(1, 0)
  const weights = mask.unsqueeze(-1).to('float32') // (B,T,1)
  return states.mul(weights).sum(1).div(weights.sum(1).clamp(1e-9))
}

/** @internal */
export const task = {
  default_model: 'sentence-transformers/all-MiniLM-L6-v2',
  create: (model: PreTrainedModel, tokenizer: PreTrainedTokenizer, options: FeatureExtractionOptions) =>
    new FeatureExtractionPipeline(model, tokenizer, options),
  load: AutoModel.from_pretrained,
}
