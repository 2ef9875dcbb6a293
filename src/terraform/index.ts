export * from './pure.ts'
export { applyFile, createRunner, disk, findBinary, init, isInitialised, planTo, providerSchemas, pullState } from './runner.ts'
export type { Counters, Place, Planned, Runner, RunOptions, RunResult } from './runner.ts'
