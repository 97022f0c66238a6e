// npm run demo: loads the model that ships in this repository and streams text from it.
import { fileURLToPath } from 'node:url'
import { AutoModelForCausalLM, AutoTokenizer, memory, runtimeInfo, TextStreamer } from 'rushlight'

const prompt = process.argv[2] ?? 'ROMEO:\nWhat light is this,'
const started = performance.now()
const path = fileURLToPath(new URL('train-shakespeare/model', import.meta.url))
const tokenizer = await AutoTokenizer.from_pretrained(path)
const model = await AutoModelForCausalLM.from_pretrained(path)
const { build, threads } = runtimeInfo()
console.log(
  `${(model.num_parameters() / 1e6).toFixed(1)} million parameters, loaded in ${(performance.now() - started).toFixed(0)} ms (${build} WebAssembly, ${threads} threads)\n`,
)

let tokens = 0
let first = 0
const streamer = new TextStreamer(tokenizer, {
  callback_function: (text) => void process.stdout.write(text),
  token_callback_function: () => {
    if (tokens++ === 1) first = performance.now()
  },
})
const inputs = tokenizer(prompt, { return_tensors: 'pt' })
const output = await model.generate({
  ...inputs,
  max_new_tokens: 240,
  do_sample: true,
  temperature: 0.8,
  top_k: 50,
  seed: 1616,
  streamer,
})
const seconds = (performance.now() - first) / 1000
console.log(
  `\n\n${((tokens - 2) / seconds).toFixed(0)} tokens per second, ${(memory().peak / 2 ** 20).toFixed(0)} MiB at most`,
)
output.dispose()
