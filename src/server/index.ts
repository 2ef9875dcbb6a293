export { serve, type Server, type ServeOptions } from './serve.ts'
export { createLog, type Log } from './log.ts'
export { checkConfig, differences } from './config-versions.ts'
export { openApi } from './openapi.ts'
