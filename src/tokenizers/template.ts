// Post-processors as templates: where special tokens stand around one text or two.
import { RushlightError, unsupported } from '../util/errors.ts'
import { type Component, kindOf } from './format.ts'

/** Special tokens, or the first or second text; all with one token type. */
export type Part = { ids: readonly number[]; type: number } | { text: 'A' | 'B'; type: number }

export interface Template {
  single: readonly Part[]
  pair: readonly Part[]
}

/** One text after the other, without special tokens. */
export const PLAIN: Template = {
  single: [{ text: 'A', type: 0 }],
  pair: [
    { text: 'A', type: 0 },
    { text: 'B', type: 1 },
  ],
}

type TemplateItem = { SpecialToken: { id: string; type_id: number } } | { Sequence: { id: 'A' | 'B'; type_id: number } }

/** Each type of post-processor of a tokenizer.json; null for one that changes no ids. */
const PROCESSORS: Record<string, (options: Component) => Template | null> = {
  TemplateProcessing: ({ single, pair, special_tokens }) => {
    const tokens = special_tokens as Record<string, { ids: number[] }>
    const parts = (items: TemplateItem[]) =>
      items.map((item): Part => {
        if ('Sequence' in item) return { text: item.Sequence.id, type: item.Sequence.type_id }
        const { id, type_id } = item.SpecialToken
        if (!Object.hasOwn(tokens, id))
          throw new RushlightError(`tokenizer: post_processor: ${JSON.stringify(id)} is not in its special_tokens`)
        return { ids: tokens[id].ids, type: type_id }
      })
    return { single: parts(single as TemplateItem[]), pair: parts(pair as TemplateItem[]) }
  },
  BertProcessing: ({ cls, sep }) => around(cls, sep, { separators: 1, pairType: 1 }),
  RobertaProcessing: ({ cls, sep }) => around(cls, sep, { separators: 2, pairType: 0 }),
  ByteLevel: () => null,
  Sequence: ({ processors }) => {
    const templates = (processors as Component[]).map(processorOf).filter((template) => template !== null)
    if (templates.length > 1)
      throw unsupported('tokenizer', 'post_processor', 'two templates in a Sequence', ['one of them'])
    return templates[0] ?? null
  },
}

/** [CLS] A [SEP] and, with as many separators between, B [SEP]. */
function around(
  cls: unknown,
  sep: unknown,
  { separators, pairType }: { separators: number; pairType: number },
): Template {
  const special = (token: unknown, type: number): Part => ({ ids: [(token as [string, number])[1]], type })
  const single: Part[] = [special(cls, 0), { text: 'A', type: 0 }, special(sep, 0)]
  const between = Array.from({ length: separators - 1 }, () => special(sep, pairType))
  return { single, pair: [...single, ...between, { text: 'B', type: pairType }, special(sep, pairType)] }
}

function processorOf(description: Component): Template | null {
  return kindOf(PROCESSORS, 'post_processor', description.type)(description)
}

/** The template of a post-processor's description. @throws UnsupportedOptionError for a type that there is not */
export function templateOf(description: Component | null): Template {
  return (description && processorOf(description)) ?? PLAIN
}
