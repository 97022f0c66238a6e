// GGUF files as the repositories that llama.cpp's converter made them from: their config, and their weights under the checkpoint's names.
import type { Checkpoint, GgufCheckpoint, StoredTensor } from '../../io/index.ts'
import { FileFormatError, shown, unsupported } from '../../util/errors.ts'
import { GGUF_ARCHITECTURES, type GgufArchitecture, SETTINGS } from './architectures.ts'
import { Metadata } from './metadata.ts'

/** The config.json that a file came from, as far as the model needs it. @throws UnsupportedOptionError for an unknown architecture */
export async function ggufConfig(file: GgufCheckpoint): Promise<Record<string, unknown>> {
  const metadata = new Metadata(file)
  const architecture = architectureOf(metadata)
  return {
    model_type: architecture.model_type,
    vocab_size: metadata.shape('token_embd.weight')[0],
    ...(await architecture.config(metadata)),
    bos_token_id: metadata.token('bos'),
    eos_token_id: metadata.token('eos'),
    pad_token_id: metadata.token('padding'),
  }
}

/** What generation_config.json says: the end of a turn ends a text too. */
export function ggufGenerationConfig({ metadata }: Pick<GgufCheckpoint, 'metadata'>): Record<string, unknown> {
  const id = (name: string) => {
    const value = metadata.get(`tokenizer.ggml.${name}_token_id`)
    return value === undefined ? null : Number(value)
  }
  const ends = [...new Set([id('eos'), id('eot')])].filter((end) => end !== null)
  return {
    bos_token_id: id('bos'),
    eos_token_id: ends.length > 1 ? ends : (ends[0] ?? null),
    pad_token_id: id('padding'),
  }
}

/**
 * A file's weights under the names of the checkpoint that it was made from, with what is to be undone while they are read.
 * @throws FileFormatError for a tensor that the architecture does not have
 */
export function ggufCheckpoint(file: GgufCheckpoint): Checkpoint {
  const metadata = new Metadata(file)
  const { undo = {}, ...architecture } = architectureOf(metadata)
  const names = typeof architecture.names === 'function' ? architecture.names(metadata) : architecture.names
  const tensors = new Map<string, StoredTensor>()
  for (const [found, stored] of file.tensors) {
    if (SETTINGS.includes(found)) continue
    const [, layer = '', rest] = found.match(/^blk\.(\d+)\.(.*)$/s) ?? [null, undefined, found]
    const key = layer === '' ? rest : `blk.${rest}`
    const [, stem, suffix = ''] = key.match(/^(.*?)(\.weight|\.bias)?$/s) as RegExpMatchArray
    if (!Object.hasOwn(names, stem))
      throw new FileFormatError(
        file.name,
        `tensor ${shown(found)}`,
        `a tensor of the architecture ${metadata.architecture}`,
        'an unknown name',
      )
    const name = names[stem].replace('{}', layer) + suffix
    const original = { ...stored, ...(Object.hasOwn(undo, stem) && undo[stem](stored, metadata)) }
    for (const part of parts(original, name, file.name)) tensors.set(part.name, part)
  }
  return { name: file.name, tensors, close: () => file.close() }
}

/** Parts of a stacked tensor at most: far more experts or heads than any model has. */
const MAX_PARTS = 1 << 16

/** A tensor under its name; where that stands for several (`{i}`, `{q,k,v}`), each of them, a range of the tensor. */
function parts(stored: StoredTensor, name: string, file: string): StoredTensor[] {
  const [field, list] = name.match(/\{(.*)\}/s) ?? []
  if (field === undefined || list === undefined) return [{ ...stored, name }]
  const [rows = 0, ...rest] = stored.shape
  const names = list === 'i' ? undefined : list.split(',')
  const count = names?.length ?? rows
  if (count > MAX_PARTS || rows % count !== 0)
    throw new FileFormatError(
      file,
      `tensor ${shown(stored.name)}: shape`,
      names ? `rows of ${count} equal parts` : `at most ${MAX_PARTS} parts`,
      `${rows} rows`,
    )
  const bytes = stored.bytes / count
  return Array.from({ length: count }, (_, i) => ({
    ...stored,
    name: name.replace(field, names ? names[i] : `${i}`),
    shape: names ? [rows / count, ...rest] : rest,
    offset: stored.offset + i * bytes,
    bytes,
  }))
}

function architectureOf({ file, architecture }: Metadata): GgufArchitecture {
  if (!Object.hasOwn(GGUF_ARCHITECTURES, architecture))
    throw unsupported(file, 'general.architecture', architecture, Object.keys(GGUF_ARCHITECTURES))
  return GGUF_ARCHITECTURES[architecture]
}
