// Bars of downloads as a terminal shows them, and when there are none.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { disable_progress_bars, enable_progress_bars, set_verbosity } from '../../src/hub/index.ts'
import { are_progress_bars_disabled, bytesOf, ProgressBars, type Terminal } from '../../src/util/progress.ts'
import { withEnvironment } from './helpers.ts'

/** A terminal that understands what the bars send: carriage return, line up, line cleared. */
class Screen implements Terminal {
  isTTY = true
  readonly lines: string[] = ['']
  private row = 0

  constructor(readonly columns: number) {}

  write(text: string): void {
    for (const [part, up] of text.matchAll(/\x1b\[(\d+)A|\x1b\[2K|\r|\n|[^\x1b\r\n]+/g)) {
      if (up) this.row -= Number(up)
      else if (part === '\x1b[2K') this.lines[this.row] = ''
      else if (part === '\n') this.lines[++this.row] ??= ''
      else if (part !== '\r') this.lines[this.row] += part
    }
    assert.ok(this.row >= 0)
    for (const line of this.lines) assert.ok(line.length < this.columns, `${line.length}: ${line}`)
  }
}

test('several files at once: a line each, drawn over, the finished ones above', () => {
  const screen = new Screen(100)
  let now = 0
  const bars = new ProgressBars(screen, () => now)
  const [a, b] = ['config.json', 'a/folder/of/a/name/that/is/too/long/for/its/column/model.safetensors'].map((label) =>
    bars.add(label),
  )
  assert.equal(screen.lines, [''], 'nothing before there are bytes')
  for (now = 100; now <= 1000; now += 100) {
    a.update(now / 20, 100)
    b.update(now * 1000, 4e6)
  }
  a.update(50, 100) // draws both
  assert.is(screen.lines.length, 3)
  assert.match(screen.lines[0], /^config\.json {27}█{10}░{10} {2}50% 50 B of 100 B 45 B\/s 0:02$/)
  assert.match(screen.lines[1], /^….{10,}\/model\.safetensors █{5}░{15} {2}25% 1\.00 MB of 4\.00 MB 900 kB\/s 0:04$/)
  a.update(100, 100)
  a.end()
  b.update(4e6, 4e6)
  b.end()
  b.end()
  assert.is(screen.lines.length, 3)
  assert.match(screen.lines[0], /^config\.json .*100% 100 B of 100 B/)
  assert.match(screen.lines[1], /safetensors █{20} 100% 4\.00 MB of 4\.00 MB/)
})

test('narrow terminals, unknown sizes, and names that a terminal would obey', () => {
  for (const columns of [20, 40, 60, 80, 200]) {
    const screen = new Screen(columns)
    let now = 0
    const bars = new ProgressBars(screen, () => now)
    const [known, unknown] = [bars.add('model\x1b[2J\n\x07.bin'), bars.add('ünïcode')]
    for (now = 100; now < 1000; now += 100) {
      known.update(now * 1e9, 1e12)
      unknown.update(now, undefined)
    }
    assert.is(screen.lines.length, 3)
    assert.match(screen.lines[0], /^(model\?\[2J\?\?|…)/)
    assert.not.match(screen.lines[1], /%/)
  }
})

test('a download that goes on where it was does not count what was there for its speed', () => {
  const screen = new Screen(100)
  let now = 0
  const bar = new ProgressBars(screen, () => now).add('x')
  bar.update(5e6, 10e6)
  now = 1000
  bar.update(6e6, 10e6)
  assert.match(screen.lines[0], /60% 6\.00 MB of 10\.0 MB 1\.00 MB\/s 0:04/)
})

test('bars are off by the environment, by a call, or by the verbosity', () => {
  withEnvironment({ HF_HUB_DISABLE_PROGRESS_BARS: undefined }, () => {
    assert.is(are_progress_bars_disabled(), false)
    disable_progress_bars()
    assert.is(are_progress_bars_disabled(), true)
    enable_progress_bars()
    set_verbosity('error')
    assert.is(are_progress_bars_disabled(), true)
    set_verbosity('warning')
    assert.is(are_progress_bars_disabled(), false)
  })
  withEnvironment({ HF_HUB_DISABLE_PROGRESS_BARS: '1' }, () => assert.is(are_progress_bars_disabled(), true))
})

test('bytes as people read them', () => {
  assert.equal([0, 999, 1000, 123_456, 999_600, 2e9, 5e13].map(bytesOf), [
    '0 B',
    '999 B',
    '1.00 kB',
    '123 kB',
    '1.00 MB',
    '2.00 GB',
    '50.0 TB',
  ])
})

test.run()
