// What llama.cpp's converter does to weights, and how reading takes it back.
import type { Conversion, StoredTensor } from '../../io/index.ts'
import { FileFormatError, shown } from '../../util/errors.ts'
import type { Metadata } from './metadata.ts'

/** What differs between a tensor of the file and that of the checkpoint. */
export type Undo = (stored: StoredTensor, metadata: Metadata) => Partial<StoredTensor>

/** Rows of each of `parts` equal parts, a multiple of what is said. @throws FileFormatError when there are no such parts */
function rowsOf({ name, shape }: StoredTensor, parts: number, m: Metadata, multiple = 1): number {
  const rows = shape[0] / parts
  if (Number.isInteger(parts) && Number.isInteger(rows / multiple)) return rows
  throw new FileFormatError(
    m.file,
    `tensor ${shown(name)}: shape`,
    `rows of ${parts} equal parts, as attention.head_count says`,
    `${shape[0]} rows`,
  )
}

const converted = (conversion: Conversion): Partial<StoredTensor> => ({ converted: conversion })

/** Llama rotates neighbours (2i, 2i+1) of a head in llama.cpp, (i, i + D/2) in the checkpoint: rows of a head take turns. */
export function interleavedHalves(heads: 'head_count' | 'head_count_kv'): Undo {
  return (stored, m) => {
    const D = rowsOf(stored, m.number(`attention.${heads}`, m.number('attention.head_count')), m, 2)
    return converted({
      rows(row) {
        const at = row % D
        return row - at + (at < D / 2 ? 2 * at : 2 * (at - D / 2) + 1)
      },
    })
  }
}

/** BLOOM and GPT-NeoX have query, key and value of a head side by side; the file all queries, all keys, all values. */
export const qkvByHeads: Undo = (stored, m) => {
  const heads = m.number('attention.head_count')
  const D = rowsOf(stored, 3 * heads, m)
  return converted({
    rows(row) {
      const [head, part, d] = [Math.floor(row / (3 * D)), Math.floor(row / D) % 3, row % D]
      return (part * heads + head) * D + d
    },
  })
}

/** Falcon has the queries of a group, then its key and value; the file all queries, all keys, all values. */
export const qkvByGroups: Undo = (stored, m) => {
  const heads = m.number('attention.head_count')
  const groups = m.number('attention.head_count_kv', 1)
  const queries = heads / groups
  const D = rowsOf(stored, queries + 2, m, groups) / groups
  return converted({
    rows(row) {
      const [group, part, d] = [Math.floor(row / ((queries + 2) * D)), Math.floor(row / D) % (queries + 2), row % D]
      const head = part < queries ? group * queries + part : part === queries ? heads + group : heads + groups + group
      return head * D + d
    },
  })
}

/** Gemma multiplies by 1 + weight; the file has that sum. */
export const plusOne: Undo = () =>
  converted({
    restore(values) {
      for (let i = 0; i < values.length; i++) values[i] -= 1
    },
  })

/** Mamba's A is kept as its logarithm; the file has -exp of it. */
export const negativeExp: Undo = () =>
  converted({
    restore(values) {
      for (let i = 0; i < values.length; i++) values[i] = Math.log(-values[i])
    },
  })

/** GPT-2 keeps matrices as [in, out]; the file as [out, in]. */
export const outByIn: Undo = ({ shape }) => (shape.length === 2 ? converted({ transposed: true }) : {})

/** A convolution with one channel a group is [channels, 1, width]; the file has it without the 1. */
export const channels: Undo = ({ shape }) => (shape.length === 2 ? { shape: [shape[0], 1, shape[1]] } : {})
