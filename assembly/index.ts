// The only export list: every kernel that TypeScript can call, by file.
export * from './conv'
export * from './elementwise'
export * from './index-select'
export * from './optim'
export * from './pool'
export * from './random'
export * from './scan'
export * from './sort'
