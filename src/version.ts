// The package's version, which the build puts in.
declare const RUSHLIGHT_VERSION: string
export const version: string = typeof RUSHLIGHT_VERSION === 'undefined' ? 'development' : RUSHLIGHT_VERSION
