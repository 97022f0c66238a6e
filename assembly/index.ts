// The only export list: every kernel that TypeScript can call, by file.
export * from './elementwise'
