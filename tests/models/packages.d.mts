export type ModelName = 'smollm2' | 'minilm'
export const packages: Record<ModelName, { pip: string; inside: string; place: string; check: string; bytes: number }>
export function cacheFolder(): string
export function modelPath(name: ModelName): string
export function checkedFile(name: ModelName): string
