export { cloudProgram } from './program.ts'
export { serveCloud } from './server.ts'
export { openCloud } from './store.ts'
