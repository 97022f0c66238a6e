// The first page of Hugging Face's quickstart, line for line: a model from the Hub, text from it, and the same as a pipeline.
//   node examples/quickstart.mjs [repository of the Hub, directory, or .gguf file]
import { AutoModelForCausalLM, AutoTokenizer, pipeline } from 'rushlight'

const name = process.argv[2] ?? 'HuggingFaceTB/SmolLM2-135M-Instruct'

const model = await AutoModelForCausalLM.from_pretrained(name, { dtype: 'auto', device_map: 'auto' })
const tokenizer = await AutoTokenizer.from_pretrained(name)

const inputs = tokenizer(['The secret to baking a good cake is '], { return_tensors: 'pt' }).to(model.device)
const generated = await model.generate({ ...inputs, max_length: 30 })
console.log(tokenizer.batch_decode(generated)[0])
model.dispose()

const pipe = await pipeline('text-generation', name)
const [{ generated_text }] = await pipe('The secret to baking a good cake is ', { max_length: 50 })
console.log(generated_text)
pipe.dispose()
