// Makes tokenizer.json and tokenizer_config.json of this example: byte-level BPE of 2,048 tokens, learnt from the corpus.
//   npm run build && node examples/train-shakespeare/train-tokenizer.mjs
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { BpeTrainer, PreTrainedTokenizer } from 'rushlight'

const text = gunzipSync(await readFile(new URL('data/shakespeare.txt.gz', import.meta.url))).toString()
const end = '<|endoftext|>'
const trainer = new BpeTrainer({ vocab_size: 2048, special_tokens: [end] })
const tokenizer = new PreTrainedTokenizer(trainer.train_from_iterator([text]), {
  tokenizer_class: 'PreTrainedTokenizerFast',
  bos_token: end,
  eos_token: end,
  pad_token: end,
  clean_up_tokenization_spaces: false,
  model_max_length: 1024,
  model_input_names: ['input_ids', 'attention_mask'],
})
const ids = tokenizer.encode(text)
console.log(`${tokenizer.vocab_size} tokens, ${(text.length / ids.length).toFixed(2)} characters a token`)
await tokenizer.save_pretrained(fileURLToPath(new URL('.', import.meta.url)))
