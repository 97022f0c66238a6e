// torch.nn.
export { ModuleList, Sequential } from './containers.ts'
export * as functional from './functional.ts'
export * as init from './init.ts'
export { Conv1d, Conv2d, type ConvOptions, Dropout, Embedding, LayerNorm, Linear, RMSNorm } from './layers.ts'
export { Module } from './module.ts'
export { Parameter } from './parameter.ts'
export * as utils from './utils.ts'
