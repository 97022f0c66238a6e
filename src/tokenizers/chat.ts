// Chat templates: a conversation as the text that a model was trained on.
import { RushlightError } from '../util/errors.ts'

/** One turn of a conversation, as `{ role, content }`; templates may read other fields too, such as tool_calls. */
export type ChatMessage = { readonly role: string; readonly content?: unknown }

/** A template, or several by name. */
export type ChatTemplate = string | Record<string, string>

/** What a template sees beside the messages. */
export interface ChatVariables {
  tools?: readonly Record<string, unknown>[] | null
  documents?: readonly Record<string, unknown>[] | null
  add_generation_prompt?: boolean
  [variable: string]: unknown
}

/** The template to use: one given by text or name, else the tokenizer's own. @throws RushlightError when there is none */
export function chooseTemplate(own: ChatTemplate | null, given: string | null | undefined, hasTools: boolean): string {
  if (own === null || typeof own === 'string') {
    const template = given ?? own
    if (template === null)
      throw new RushlightError(
        'apply_chat_template: the tokenizer has no chat_template, and none was given. Hint: pass { chat_template } or set tokenizer.chat_template',
      )
    return template
  }
  if (given != null) return Object.hasOwn(own, given) ? own[given] : given
  const name = hasTools && Object.hasOwn(own, 'tool_use') ? 'tool_use' : 'default'
  if (!Object.hasOwn(own, name))
    throw new RushlightError(
      `apply_chat_template: the tokenizer has several templates and no default. Hint: pass { chat_template } with one of ${Object.keys(own).sort().join(', ')}`,
    )
  return own[name]
}

let engine: typeof import('./render.ts') | undefined

/** Loads what renders templates; AutoTokenizer.from_pretrained does. */
export async function loadTemplateEngine(): Promise<void> {
  engine ??= await import('./render.ts')
}

/** What renders templates. @throws RushlightError before it is loaded */
export function templateEngine(): typeof import('./render.ts') {
  if (!engine)
    throw new RushlightError(
      'apply_chat_template: the template engine is not loaded yet. Hint: AutoTokenizer.from_pretrained loads it; before a tokenizer of your own, await PreTrainedTokenizer.load_template_engine()',
    )
  return engine
}
