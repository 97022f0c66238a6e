// Progress of what takes long: transformers.js's events for programs, bars on a terminal for people.
import { environment } from './platform.ts'
import { get_verbosity } from './warn.ts'

/** What a `progress_callback` is told: of each file `initiate`, `download`, `progress` … (each after a `progress_total`), `done`; at the end `ready`. */
export type ProgressInfo =
  | { status: 'initiate' | 'download' | 'done'; name: string; file: string }
  | { status: 'progress'; name: string; file: string; progress: number; loaded: number; total: number }
  | {
      /** All files of the repository that were begun, together. */
      status: 'progress_total'
      name: string
      progress: number
      loaded: number
      total: number
      files: Record<string, { loaded: number; total: number }>
    }
  | { status: 'ready'; task: string; model: string }

export type ProgressCallback = (info: ProgressInfo) => void

/** What bars are drawn on. */
export interface Terminal {
  isTTY?: boolean
  columns?: number
  write(text: string): unknown
}

let disabled: boolean | undefined

/** No bars from now on. */
export function disable_progress_bars(): void {
  disabled = true
}

/** Bars again, on a terminal. */
export function enable_progress_bars(): void {
  disabled = false
}

/** Whether bars are off: by `disable_progress_bars`, `HF_HUB_DISABLE_PROGRESS_BARS` (which comes first, as in Python) or `set_verbosity('error')`. */
export function are_progress_bars_disabled(): boolean {
  const given = environment('HF_HUB_DISABLE_PROGRESS_BARS')
  const off = given === undefined ? (disabled ?? false) : /^(1|on|yes|true)$/i.test(given)
  return off || get_verbosity() === 'error'
}

interface Bar {
  label: string
  loaded: number
  total: number | undefined
  /** Bytes that were there before, which say nothing of the speed. */
  before: number
  started: number
}

/** Milliseconds between two drawings. */
const INTERVAL = 80

/** Bars one below the other, each with a line of its own; what is finished stays above as a line of text. */
export class ProgressBars {
  private readonly bars = new Set<Bar>()
  private lines = 0 // drawn, and to be drawn over
  private drawn = 0
  private finished: string[] = []

  constructor(
    private readonly terminal: Terminal,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Adds a bar. What it returns takes the bytes so far and in all; `end` leaves the line where it is. */
  add(label: string): { update(loaded: number, total: number | undefined): void; end(): void } {
    let bar: Bar | undefined
    return {
      update: (loaded, total) => {
        if (!bar) {
          bar = { label, loaded, total, before: loaded, started: this.now() }
          this.bars.add(bar)
        }
        Object.assign(bar, { loaded, total })
        if (this.now() - this.drawn >= INTERVAL) this.draw()
      },
      end: () => {
        if (!bar || !this.bars.delete(bar)) return
        this.finished.push(this.line(bar))
        this.draw()
      },
    }
  }

  private draw(): void {
    this.drawn = this.now()
    const lines = [...this.finished, ...[...this.bars].map((bar) => this.line(bar))]
    const up = this.lines > 0 ? `\x1b[${this.lines}A` : ''
    this.terminal.write(`${up}${lines.map((line) => `\r\x1b[2K${line}\n`).join('')}`)
    this.lines = this.bars.size
    this.finished = []
  }

  private line({ label, loaded, total, before, started }: Bar): string {
    const seconds = (this.now() - started) / 1000
    const speed = seconds > 0.2 ? (loaded - before) / seconds : 0
    const left = speed > 0 && total !== undefined && loaded < total ? ` ${timeOf((total - loaded) / speed)}` : ''
    const rate = speed > 0 ? ` ${bytesOf(speed)}/s${left}` : ''
    const share = total ? Math.min(1, loaded / total) : undefined
    const numbers = `${share === undefined ? '' : `${Math.floor(100 * share)}`.padStart(3)}${share === undefined ? '' : '% '}${bytesOf(loaded)}${total === undefined ? '' : ` of ${bytesOf(total)}`}${rate}`
    const columns = (this.terminal.columns || 80) - 1
    // Columns of their own, so that bars stand below each other: the name, the bar, the numbers (at most 40 characters).
    const wide = Math.max(8, Math.min(40, Math.floor(columns * 0.38)))
    const width = Math.min(30, columns - wide - 42)
    const plain = label.replace(/[\x00-\x1f\x7f-\x9f]/g, '?') // a repository's names are not for the terminal to obey
    const name = shortened(plain, wide).padEnd(wide)
    const full = Math.round((share ?? 0) * width)
    const bar = share !== undefined && width >= 5 ? ` ${'█'.repeat(full)}${'░'.repeat(width - full)}` : ''
    return `${name}${bar} ${numbers}`.slice(0, columns)
  }
}

let shared: ProgressBars | undefined

/** Where downloads draw: stderr when it is a terminal and bars are wanted, else undefined. */
export function progressBars(): ProgressBars | undefined {
  if (typeof process === 'undefined' || !process.stderr?.isTTY || are_progress_bars_disabled()) return undefined
  shared ??= new ProgressBars(process.stderr)
  return shared
}

/** Bytes as people read them. */
export function bytesOf(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let unit = 0
  for (; bytes >= 999.5 && unit < units.length - 1; unit++) bytes /= 1000
  return `${unit === 0 ? Math.round(bytes) : bytes.toPrecision(3)} ${units[unit]}`
}

function timeOf(seconds: number): string {
  const whole = Math.ceil(seconds)
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return `${h > 0 ? `${h}:${String(m).padStart(2, '0')}` : m}:${String(s).padStart(2, '0')}`
}

function shortened(text: string, length: number): string {
  return text.length <= length ? text : `…${text.slice(text.length - length + 1)}`
}
