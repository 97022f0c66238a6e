// What llama.cpp's converter does to weights, and how reading takes it back.
import type { Conversion, StoredTensor } from '../../io/index.ts'
import type { Metadata } from './metadata.ts'

/** What differs between a tensor of the file and that of the checkpoint. */
export type Undo = (stored: StoredTensor, metadata: Metadata) => Partial<StoredTensor>

const converted = (conversion: Conversion): Partial<StoredTensor> => ({ converted: conversion })

/** Llama rotates neighbours (2i, 2i+1) of a head in llama.cpp, (i, i + D/2) in the checkpoint: rows of a head take turns. */
export function interleavedHalves(heads: 'head_count' | 'head_count_kv'): Undo {
  return ({ shape }, m) => {
    const D = shape[0] / m.number(`attention.${heads}`, m.number('attention.head_count'))
    return converted({
      rows(row) {
        const at = row % D
        return row - at + (at < D / 2 ? 2 * at : 2 * (at - D / 2) + 1)
      },
    })
  }
}

/** BLOOM and GPT-NeoX have query, key and value of a head side by side; the file all queries, all keys, all values. */
export const qkvByHeads: Undo = ({ shape }, m) => {
  const heads = m.number('attention.head_count')
  const D = shape[0] / (3 * heads)
  return converted({
    rows(row) {
      const [head, part, d] = [Math.floor(row / (3 * D)), Math.floor(row / D) % 3, row % D]
      return (part * heads + head) * D + d
    },
  })
}

/** Falcon has the queries of a group, then its key and value; the file all queries, all keys, all values. */
export const qkvByGroups: Undo = ({ shape }, m) => {
  const heads = m.number('attention.head_count')
  const groups = m.number('attention.head_count_kv', 1)
  const D = shape[0] / (heads + 2 * groups)
  const queries = heads / groups
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
