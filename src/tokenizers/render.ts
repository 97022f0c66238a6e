// Rendering of chat templates. It brings the template engine, so it is loaded with the first tokenizer, not with the library.
import { Template } from '@huggingface/jinja'
import { RushlightError } from '../util/errors.ts'
import type { ChatMessage, ChatVariables } from './chat.ts'

const compiled = new Map<string, Template>()
const COMPILED_LIMIT = 16

function compile(source: string): Template {
  let template = compiled.get(source)
  if (!template) {
    template = new Template(source)
    if (compiled.size === COMPILED_LIMIT) compiled.clear()
    compiled.set(source, template)
  }
  return template
}

/** Names under which a message's reasoning is passed; templates read the first, some the second. */
const REASONING = ['reasoning_content', 'thinking', 'reasoning']

/** Ends the message that is to be continued; the trailing space shows whether the template trims. */
const CONTINUE_TAG = 'CONTINUE_FINAL_MESSAGE_TAG '

/**
 * Renders one conversation.
 * @param continued field of the final message that stays open, or null
 * @throws RushlightError when there is nothing to continue, or the template refuses
 */
export function renderChat(
  source: string,
  messages: readonly ChatMessage[],
  variables: ChatVariables,
  continued: string | null,
): string {
  const chat = messages.map(withReasoningNames)
  const final = continued === null ? null : tagFinalMessage(source, chat, continued)
  let text: string
  try {
    text = compile(source).render({ tools: null, documents: null, ...variables, messages: chat })
  } catch (cause) {
    throw new RushlightError(`apply_chat_template: ${(cause as Error).message}`, { cause })
  }
  if (final === null) return text
  const at = text.lastIndexOf(CONTINUE_TAG.trimEnd())
  if (at < 0 || !text.includes(final.trim()))
    throw new RushlightError(
      'apply_chat_template: continue_final_message: the template leaves out parts of the final message',
    )
  return text.startsWith(CONTINUE_TAG, at) ? text.slice(0, at) : text.slice(0, at).trimEnd()
}

/** A copy without null fields, and with the reasoning under all the names that templates read. */
function withReasoningNames(message: ChatMessage): Record<string, unknown> {
  if (typeof message !== 'object' || message === null)
    throw new RushlightError(
      `apply_chat_template: expected messages as { role, content }, found ${JSON.stringify(message)}`,
    )
  const copy = Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null && value !== undefined))
  const reasoning = REASONING.map((name) => copy[name]).find((value) => value !== undefined)
  return (
    reasoning === undefined ? copy : { thinking: reasoning, ...copy, reasoning_content: reasoning }
  ) as ChatMessage
}

/** Appends the tag to the last message's text; gives that text. */
function tagFinalMessage(source: string, chat: Record<string, unknown>[], field: string): string {
  const fail = (why: string): never => {
    throw new RushlightError(`apply_chat_template: continue_final_message: ${why}`)
  }
  const message = chat.at(-1)
  const content = message?.[field]
  if (!message || content === undefined) return fail(`the final message has no ${JSON.stringify(field)} to continue`)
  const fields = REASONING.includes(field) ? REASONING.filter((name) => message[name] === content) : [field]
  if (!fields.some((name) => source.includes(name))) return fail(`the template does not read ${JSON.stringify(field)}`)
  if (typeof content === 'string') {
    for (const name of fields) message[name] = content + CONTINUE_TAG
    return content
  }
  const blocks = [...(content as Record<string, unknown>[])]
  const last = blocks.findLastIndex((block) => typeof block.text === 'string')
  if (last < 0) return fail('the final message has no text')
  const text = blocks[last].text as string
  blocks[last] = { ...blocks[last], text: text + CONTINUE_TAG }
  message[field] = blocks
  return text
}
