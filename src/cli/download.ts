// rushlight download: a repository of the Hub, or some of its files, into the cache.
import { hf_hub_download, type HubOptions, snapshot_download } from '../hub/index.ts'
import { builtin } from '../util/platform.ts'
import { disable_progress_bars } from '../util/progress.ts'

const HELP = `Usage: rushlight download NAME [FILE …] [options]

Downloads a repository of the Hub, or the named files of it, into the cache that Python has too, and prints where
it is. What is there already is not downloaded again; what was cut off goes on.

      --include PATTERN  only files like this, such as '*.safetensors' (may be given several times)
      --exclude PATTERN  no files like this (may be given several times)
      --revision NAME    branch, tag or commit (default main)
      --cache-dir PATH   another cache
      --token TOKEN      in place of the login's
      --force            download again what is there
  -q, --quiet            no progress
  -h, --help             this`

const OPTIONS = {
  include: { type: 'string', multiple: true },
  exclude: { type: 'string', multiple: true },
  revision: { type: 'string' },
  'cache-dir': { type: 'string' },
  token: { type: 'string' },
  force: { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
  help: { type: 'boolean', short: 'h' },
} as const

async function run(args: string[]): Promise<void> {
  const { values, positionals } = builtin('node:util')!.parseArgs({ args, options: OPTIONS, allowPositionals: true })
  if (values.help) return console.log(HELP)
  const [name, ...files] = positionals
  if (name === undefined) throw new Error('the repository is missing. Hint: rushlight download owner/name')
  if (files.length > 0 && (values.include || values.exclude))
    throw new Error('give files by name, or by --include and --exclude, not both')
  if (values.quiet) disable_progress_bars()
  const options: HubOptions = {
    revision: values.revision,
    cache_dir: values['cache-dir'],
    token: values.token,
    force_download: values.force,
  }
  if (files.length > 0) {
    for (const file of files) console.log(await hf_hub_download(name, file, options))
    return
  }
  const patterns = { allow_patterns: values.include, ignore_patterns: values.exclude }
  console.log(await snapshot_download(name, { ...options, ...patterns }))
}

export const command = { summary: 'download a repository of the Hub', run }
