// Rendering of chat templates. It brings the template engine, so it is loaded with the first tokenizer, not with the library.
import { Template } from '@huggingface/jinja'
import { RushlightError } from '../util/errors.ts'
import { warnOnce } from '../util/warn.ts'
import type { ChatMessage, ChatVariables } from './chat.ts'
import type { CharSpan } from './encoding.ts'

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

/** A rendered conversation, and where the template marks what the assistant said. */
export interface Rendered {
  text: string
  generated: CharSpan[]
}

/**
 * Renders one conversation.
 * @param continued field of the final message that stays open, or null
 * @param marked find the template's generation blocks
 * @throws RushlightError when there is nothing to continue, or the template refuses
 */
export function renderChat(
  source: string,
  messages: readonly ChatMessage[],
  variables: ChatVariables,
  { continued, marked }: { continued: string | null; marked: boolean },
): Rendered {
  const chat = messages.map(withReasoningNames)
  if (marked) return renderMarked(source, chat, variables)
  const final = continued === null ? null : tagFinalMessage(source, chat, continued)
  const text = render(source, chat, variables)
  if (final === null) return { text, generated: [] }
  const at = text.lastIndexOf(CONTINUE_TAG.trimEnd())
  if (at < 0 || !text.includes(final.trim()))
    throw new RushlightError(
      'apply_chat_template: continue_final_message: the template leaves out parts of the final message',
    )
  const open = text.startsWith(CONTINUE_TAG, at) ? text.slice(0, at) : text.slice(0, at).trimEnd()
  return { text: open, generated: [] }
}

function render(source: string, messages: Record<string, unknown>[], variables: ChatVariables): string {
  try {
    return compile(source).render({ tools: null, documents: null, ...variables, messages })
  } catch (cause) {
    throw new RushlightError(`apply_chat_template: ${(cause as Error).message}`, { cause })
  }
}

const GENERATION = /\{%(-?)\s*(end)?generation\s*(-?)%\}/g

/** The template engine drops generation blocks, so characters that are nowhere in the chat are put at both their ends. */
function renderMarked(source: string, chat: Record<string, unknown>[], variables: ChatVariables): Rendered {
  if (!GENERATION.test(source))
    warnOnce('apply_chat_template: return_assistant_tokens_mask: the template has no {% generation %} blocks')
  GENERATION.lastIndex = 0
  const given = source + JSON.stringify([chat, variables])
  const [begin, end] = NONCHARACTERS.filter((char) => !given.includes(char))
  if (end === undefined)
    throw new RushlightError('apply_chat_template: return_assistant_tokens_mask: the chat has all noncharacters in it')
  // Statements, as the tags were, so that the space around them is treated alike.
  const tagged = source.replace(
    GENERATION,
    (_, left, isEnd, right) => `{%${left} if true %}{{ "${isEnd ? end : begin}" }}{% endif ${right}%}`,
  )
  const generated: CharSpan[] = []
  const open: number[] = []
  let text = ''
  for (const piece of render(tagged, chat, variables).split(new RegExp(`([${begin}${end}])`))) {
    if (piece === begin) open.push(text.length)
    else if (piece === end) generated.push({ start: open.pop() ?? 0, end: text.length })
    else text += piece
  }
  return { text, generated }
}

/** Code points that stand for no character, and never will. */
const NONCHARACTERS = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i))

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
