export { directoryProgram } from './program.ts'
export { openDirectory, serveDirectory } from './server.ts'
