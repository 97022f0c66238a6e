// What llama.cpp's converter did to a model, undone: metadata back to a config, names back to the checkpoint's, rows back in order.
import type { GgufValue } from '../io/index.ts'
import { FileFormatError, unsupported } from '../util/errors.ts'

type Metadata = ReadonlyMap<string, GgufValue>

/** How one architecture's tensors are called in GGUF. */
interface GgufArchitecture {
  model_type: string
  /** The checkpoint's name of a GGUF name, `blk.7.` standing for its layer. */
  names: Readonly<Record<string, string>>
  /** GGUF names whose rows were permuted for llama.cpp's interleaved rotation, with the key of their number of heads. */
  permuted: Readonly<Record<string, 'head_count' | 'head_count_kv'>>
  /** Tensors that hold no weights of the checkpoint. */
  ignored: readonly string[]
}

const GGUF_ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama: {
    model_type: 'llama',
    names: {
      'token_embd.weight': 'model.embed_tokens.weight',
      'output_norm.weight': 'model.norm.weight',
      'output.weight': 'lm_head.weight',
      'blk.attn_norm.weight': 'model.layers.input_layernorm.weight',
      'blk.attn_q': 'model.layers.self_attn.q_proj',
      'blk.attn_k': 'model.layers.self_attn.k_proj',
      'blk.attn_v': 'model.layers.self_attn.v_proj',
      'blk.attn_output': 'model.layers.self_attn.o_proj',
      'blk.ffn_norm.weight': 'model.layers.post_attention_layernorm.weight',
      'blk.ffn_gate': 'model.layers.mlp.gate_proj',
      'blk.ffn_up': 'model.layers.mlp.up_proj',
      'blk.ffn_down': 'model.layers.mlp.down_proj',
    },
    permuted: { 'blk.attn_q': 'head_count', 'blk.attn_k': 'head_count_kv' },
    ignored: ['rope_freqs.weight'],
  },
}

/** A GGUF file's metadata as the config.json it came from, as far as the model needs it. */
export function ggufConfig(
  file: string,
  metadata: Metadata,
  has: (tensor: string) => boolean,
): Record<string, unknown> {
  const architecture = ggufArchitecture(file, metadata)
  const name = metadata.get('general.architecture') as string
  const number = (key: string, fallback?: number): number => {
    const value = metadata.get(`${name}.${key}`) ?? fallback
    if (typeof value !== 'number' && typeof value !== 'bigint')
      throw new FileFormatError(file, `${name}.${key}`, 'a number', value === undefined ? 'nothing' : typeof value)
    return Number(value)
  }
  const id = (key: string) => {
    const value = metadata.get(`tokenizer.ggml.${key}_token_id`)
    return value === undefined ? null : Number(value)
  }
  const tokens = metadata.get('tokenizer.ggml.tokens')
  const vocab = Array.isArray(tokens) ? tokens.length : number('vocab_size')
  const heads = number('attention.head_count')
  const config: Record<string, unknown> = {
    model_type: architecture.model_type,
    vocab_size: number('vocab_size', vocab),
    hidden_size: number('embedding_length'),
    intermediate_size: number('feed_forward_length'),
    num_hidden_layers: number('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: number('attention.head_count_kv', heads),
    head_dim: number('attention.key_length', number('embedding_length') / heads),
    max_position_embeddings: number('context_length'),
    rms_norm_eps: number('attention.layer_norm_rms_epsilon'),
    rope_theta: number('rope.freq_base', 10000),
    tie_word_embeddings: !has('output.weight'),
    attention_bias: has('blk.0.attn_q.bias'),
    mlp_bias: has('blk.0.ffn_gate.bias'),
    bos_token_id: id('bos'),
    eos_token_id: id('eos'),
    pad_token_id: id('padding'),
  }
  const scaling = metadata.get(`${name}.rope.scaling.type`)
  if (has('rope_freqs.weight'))
    throw unsupported(file, 'rope_freqs', 'a table of frequencies', ['rope.freq_base', 'rope.scaling.type linear'])
  if (scaling === 'linear') config.rope_scaling = { rope_type: 'linear', factor: number('rope.scaling.factor') }
  else if (scaling !== undefined && scaling !== 'none')
    throw unsupported(file, `${name}.rope.scaling.type`, scaling, ['none', 'linear'])
  return config
}

/** Where a tensor of the file belongs. */
export interface GgufPlace {
  /** Name in the checkpoint. */
  name: string
  /** For each row of the checkpoint's weight, its row in the file; absent when they are the same. */
  rows?: (row: number) => number
}

/** Where each tensor of the file belongs; null for one that no weight comes from. @throws FileFormatError for an unknown name */
export function ggufPlaces(
  file: string,
  metadata: Metadata,
  tensors: ReadonlyMap<string, { shape: readonly number[] }>,
): Map<string, GgufPlace> {
  const { names, permuted, ignored } = ggufArchitecture(file, metadata)
  const architecture = metadata.get('general.architecture') as string
  const places = new Map<string, GgufPlace>()
  for (const [tensor, { shape }] of tensors) {
    if (ignored.includes(tensor)) continue
    const [, layer, rest] = tensor.match(/^blk\.(\d+)\.(.*)$/) ?? [null, null, tensor]
    const key = layer === null ? rest : `blk.${rest}`
    const stem = key.replace(/\.(weight|bias)$/, '')
    const found = Object.hasOwn(names, key)
      ? names[key]
      : Object.hasOwn(names, stem)
        ? names[stem] + key.slice(stem.length)
        : undefined
    if (found === undefined)
      throw new FileFormatError(
        file,
        `tensor ${tensor}`,
        `a tensor of the architecture ${architecture}`,
        'an unknown name',
      )
    const name = layer === null ? found : found.replace('model.layers.', `model.layers.${layer}.`)
    const heads = Object.hasOwn(permuted, stem)
      ? Number(
          metadata.get(`${architecture}.attention.${permuted[stem]}`) ??
            metadata.get(`${architecture}.attention.head_count`),
        )
      : 0
    places.set(tensor, heads > 0 ? { name, rows: interleaved(shape[0] / heads) } : { name })
  }
  return places
}

/** llama.cpp rotates neighbours (2i, 2i+1) of a head where the checkpoint rotates (i, i + D/2): the row of the file that row r came to. */
function interleaved(D: number): (row: number) => number {
  return (row) => {
    const at = row % D
    return row - at + (at < D / 2 ? 2 * at : 2 * (at - D / 2) + 1)
  }
}

function ggufArchitecture(file: string, metadata: Metadata): GgufArchitecture {
  const name = metadata.get('general.architecture')
  if (typeof name !== 'string' || !Object.hasOwn(GGUF_ARCHITECTURES, name))
    throw unsupported(file, 'general.architecture', name, Object.keys(GGUF_ARCHITECTURES))
  return GGUF_ARCHITECTURES[name]
}
