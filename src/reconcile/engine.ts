/** The file-based door: works on a Terraform folder, without store and server. */
export { apply } from './apply.ts'
export { codify, type CodifyOptions } from './codify.ts'
export { RECONCILE } from './errors.ts'
export { check, type CheckOptions } from './look.ts'
export * from './model.ts'
export { prove, recheck, type ProveOptions } from './prove.ts'
export type { EngineOptions } from './session.ts'
export { tidy, type TidyResult } from './tidy.ts'
