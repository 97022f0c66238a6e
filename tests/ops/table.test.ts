// Walks the op table, in every form of the core that there is.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ops, table } from '../../src/ops/index.ts'
import { testInEveryForm } from './forms.ts'

testInEveryForm(ops)

test('the table names each op once', () => {
  assert.is(table.size, ops.length)
})

test.run()
