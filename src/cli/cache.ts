// rushlight cache: what was downloaded, and its removal.
import { env, type HFCacheInfo, scan_cache_dir } from '../hub/index.ts'
import { builtin } from '../util/platform.ts'
import { bytesOf } from '../util/progress.ts'

const HELP = `Usage: rushlight cache list
       rushlight cache clean [NAME …] [options]

list shows the repositories in the cache, which Python has too. clean removes those named; without a name, old
revisions that no branch or tag leads to, and downloads that nobody has gone on with for an hour.

      --cache-dir PATH  another cache
      --dry-run         say what would be removed
  -y, --yes             remove without asking
  -h, --help            this`

const OPTIONS = {
  'cache-dir': { type: 'string' },
  'dry-run': { type: 'boolean' },
  yes: { type: 'boolean', short: 'y' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Milliseconds after which a download that is not whole counts as given up. */
const GIVEN_UP = 3_600_000

interface Choice {
  'dry-run'?: boolean
  yes?: boolean
}

async function run(args: string[]): Promise<void> {
  const { values, positionals } = builtin('node:util')!.parseArgs({ args, options: OPTIONS, allowPositionals: true })
  const [what, ...names] = positionals
  if (values.help) return console.log(HELP)
  const info = scan_cache_dir(values['cache-dir'] ?? env.cacheDir)
  if (what === 'list' && names.length === 0) list(info)
  else if (what === 'clean') await clean(info, names, values)
  else throw new Error('expected list or clean. Hint: rushlight cache --help')
}

function list(info: HFCacheInfo): void {
  const rows = info.repos.map((repo) => {
    const { repo_type, repo_id, size_on_disk, nb_files, revisions, last_modified } = repo
    const refs = revisions.map(({ refs, commit_hash }) => refs.join(', ') || commit_hash.slice(0, 8))
    const name = repo_type === 'model' ? repo_id : `${repo_type}/${repo_id}`
    return [
      name,
      bytesOf(size_on_disk),
      String(nb_files),
      new Date(last_modified).toISOString().slice(0, 10),
      refs.join(', '),
    ]
  })
  const table = [['NAME', 'SIZE', 'FILES', 'MODIFIED', 'REVISIONS'], ...rows]
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)))
  for (const row of table)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
  console.log(`\n${info.repos.length} repositories, ${bytesOf(info.size_on_disk)}`)
  for (const { message } of info.warnings) console.error(`rushlight: ${message}`)
}

async function clean(info: HFCacheInfo, names: string[], choice: Choice): Promise<void> {
  const unknown = names.find((name) => !info.repos.some(({ repo_id }) => repo_id === name))
  if (unknown !== undefined) throw new Error(`the cache has no ${unknown}. Hint: rushlight cache list`)
  const revisions = info.repos.flatMap(({ repo_id, revisions }) =>
    revisions.filter(({ refs }) => (names.length > 0 ? names.includes(repo_id) : refs.length === 0)),
  )
  const strategy = info.delete_revisions(...revisions.map(({ commit_hash }) => commit_hash))
  const parts = info.incomplete_files.filter(
    ({ last_modified }) => names.length === 0 && Date.now() - last_modified > GIVEN_UP,
  )
  const bytes = parts.reduce((sum, { size_on_disk }) => sum + size_on_disk, strategy.expected_freed_size)
  const paths = [...strategy.paths, ...parts.map(({ file_path }) => file_path)]
  if (paths.length === 0) return console.log('There is nothing to remove')
  for (const path of paths) console.log(path)
  if (choice['dry-run']) return console.log(`${bytesOf(bytes)} would be freed`)
  if (!choice.yes && !(await agreed(`Remove these (${bytesOf(bytes)})? [y/N] `)))
    return console.log('Nothing was removed')
  strategy.execute()
  for (const { file_path } of parts) builtin('node:fs')!.rmSync(file_path, { force: true })
  console.log(`${bytesOf(bytes)} freed`)
}

function agreed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new Error('there is nobody to ask. Hint: --yes removes without asking, --dry-run says what')
  const lines = builtin('node:readline')!.createInterface({ input: process.stdin, output: process.stderr })
  return new Promise((resolve) =>
    lines.question(question, (answer) => {
      lines.close()
      resolve(/^y(es)?$/i.test(answer.trim()))
    }),
  )
}

export const command = { summary: 'show and clean what was downloaded', run }
