// The ops on quantized weights against their f64 references, in every form of the core.
import { test } from 'uvu'
import '../../src/ops/index.ts'
import { quantized_embedding, quantized_linear } from '../../src/quant/ops.ts'
import { testInEveryForm } from '../ops/forms.ts'

testInEveryForm(Object.entries({ quantized_embedding, quantized_linear }))

test.run()
