// Optimizers and learning-rate schedules (torch.optim, and transformers' schedules).
export { Adam, type AdamOptions, AdamW } from './adam.ts'
export * as lr_scheduler from './lr_scheduler.ts'
export { Optimizer, type OptimizerState, type ParamGroup, type Params } from './optimizer.ts'
export { SGD, type SGDOptions } from './sgd.ts'
