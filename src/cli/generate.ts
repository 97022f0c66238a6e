// rushlight generate: streams a model's continuation of a prompt.
import '../generation/generate.ts' // gives models generate()
import { TextStreamer } from '../generation/streamers.ts'
import { AutoModelForCausalLM } from '../models/auto.ts'
import { AutoTokenizer } from '../tokenizers/auto.ts'
import { builtin } from '../util/platform.ts'
import { init } from '../wasm/index.ts'

const HELP = `Usage: rushlight generate --model NAME [options] "prompt"

Streams text from a model: a repository of the Hub, a directory in its layout, or a .gguf file.
A model with a chat template answers the prompt as a chat; --raw continues it as it stands.

  -m, --model NAME            repository of the Hub, directory, or .gguf file
  -n, --max-new-tokens N      at most so many tokens (default 256)
      --do-sample             sample (implied by the sampling options below)
  -t, --temperature X         above 0; lower is more certain
      --top-k N               only the N likeliest tokens (default 50)
      --top-p X               only the likeliest tokens that reach X together
      --min-p X               only tokens at least X times as likely as the best
      --repetition-penalty X  above 1 discourages repeating
      --seed N                the same text each time
      --system TEXT           a system message in front of the chat
      --raw                   no chat template
      --dtype NAME            auto, float32, bfloat16, float16, q8 or q4 (default auto: the file's own)
      --threads N             default: every core
  -q, --quiet                 no speed report at the end
  -h, --help                  this`

const OPTIONS = {
  model: { type: 'string', short: 'm' },
  'max-new-tokens': { type: 'string', short: 'n' },
  'do-sample': { type: 'boolean' },
  temperature: { type: 'string', short: 't' },
  'top-k': { type: 'string' },
  'top-p': { type: 'string' },
  'min-p': { type: 'string' },
  'repetition-penalty': { type: 'string' },
  seed: { type: 'string' },
  system: { type: 'string' },
  raw: { type: 'boolean' },
  dtype: { type: 'string' },
  threads: { type: 'string' },
  quiet: { type: 'boolean', short: 'q' },
  help: { type: 'boolean', short: 'h' },
} as const

function numberOf(name: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || Number.isNaN(value)) throw new Error(`--${name}: expected a number, found '${text}'`)
  return value
}

async function run(args: string[]): Promise<void> {
  // util.parseArgs is in Node, Deno and Bun: no library is needed for the command line.
  const { values, positionals } = (builtin('node:util') as typeof import('node:util')).parseArgs({
    args,
    options: OPTIONS,
    allowPositionals: true,
  })
  if (values.help) return console.log(HELP)
  if (!values.model) throw new Error('--model is missing. Hint: rushlight generate --model NAME "prompt"')
  if (positionals.length !== 1)
    throw new Error(
      positionals.length === 0
        ? 'the prompt is missing. Hint: rushlight generate --model NAME "prompt"'
        : `expected one prompt, found ${positionals.length}. Hint: put it in quotes`,
    )
  if (values.threads !== undefined) await init({ threads: numberOf('threads', values.threads) })

  const sampling: Record<string, number> = {}
  for (const name of ['temperature', 'top-k', 'top-p', 'min-p'] as const) {
    const text = values[name]
    if (text !== undefined) sampling[name.replace('-', '_')] = numberOf(name, text)
  }
  const tokenizer = await AutoTokenizer.from_pretrained(values.model)
  const model = await AutoModelForCausalLM.from_pretrained(values.model, { dtype: values.dtype ?? 'auto' })

  const chat = !values.raw && tokenizer.chat_template !== null
  if (values.system !== undefined && !chat) throw new Error('--system needs a model with a chat template, and no --raw')
  const messages = [
    ...(values.system === undefined ? [] : [{ role: 'system', content: values.system }]),
    { role: 'user', content: positionals[0] },
  ]
  const text = chat
    ? (tokenizer.apply_chat_template(messages, { tokenize: false, add_generation_prompt: true }) as string)
    : positionals[0]
  const input_ids = tokenizer.encode(text, { add_special_tokens: !chat })

  const meter = new Meter()
  const streamer = new TextStreamer(tokenizer, {
    skip_prompt: true,
    skip_special_tokens: true,
    callback_function: (piece) => void process.stdout.write(piece),
    token_callback_function: (ids) => meter.count(ids.length),
  })
  const output = await model.generate({
    input_ids: [input_ids],
    max_new_tokens: values['max-new-tokens'] === undefined ? 256 : numberOf('max-new-tokens', values['max-new-tokens']),
    do_sample: values['do-sample'] === true || Object.keys(sampling).length > 0,
    ...sampling,
    ...(values['repetition-penalty'] !== undefined && {
      repetition_penalty: numberOf('repetition-penalty', values['repetition-penalty']),
    }),
    ...(values.seed !== undefined && { seed: numberOf('seed', values.seed) }),
    streamer,
  })
  output.dispose()
  process.stdout.write('\n')
  if (!values.quiet) console.error(meter.report())
}

/** Tokens per second of the prompt and of what was generated. */
export class Meter {
  private started = 0
  private prompt = 0
  private first = 0
  private last = 0
  private generated = 0

  /** The first call counts the prompt, later ones what was generated. */
  count(tokens: number): void {
    const now = performance.now()
    if (this.prompt === 0) {
      this.prompt = tokens
      this.started = now
    } else {
      if (this.generated === 0) this.first = now
      this.generated += tokens
      this.last = now
    }
  }

  report(): string {
    const speed = (tokens: number, ms: number) => `${(tokens / (ms / 1000)).toFixed(1)} tokens/s`
    if (this.generated === 0) return `prompt of ${this.prompt} tokens, nothing generated`
    // The first token belongs to the prompt's time.
    const steady = this.generated > 1 ? `, then ${speed(this.generated - 1, this.last - this.first)}` : ''
    return `prompt of ${this.prompt} tokens at ${speed(this.prompt, this.first - this.started)}${steady}`
  }
}

export const command = { summary: 'stream text from a model', run }
