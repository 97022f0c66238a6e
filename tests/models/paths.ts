// Where the tests find real models.
import { existsSync } from 'node:fs'
import { checkedFile, type ModelName, modelPath } from './packages.mjs'

/** Path of a real model (a `.gguf` file, or a repository's directory), or null, with a SKIP line, where it has not been fetched. */
export function realModel(name: ModelName): string | null {
  if (existsSync(checkedFile(name))) return modelPath(name)
  console.log(`SKIP tests of ${name}: it has not been fetched. Hint: npm run models`)
  return null
}
