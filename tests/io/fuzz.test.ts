// A first portion of the fuzzing of fuzz.mjs.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fuzz } from './fuzz.ts'

test('25,000 mutated files are read consistently or refused by name', async () => {
  const { read, refused } = await fuzz(25_000, 1)
  assert.is(read + refused, 25_000)
  assert.ok(read > 500, `${read} read: mutations that leave files valid must occur`)
  assert.ok(refused > 15_000, `${refused} refused`)
})

test.run()
