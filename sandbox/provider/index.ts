export { PROVIDER_SOURCE, PROVIDER_VERSION, installProvider } from './install.ts'
export { providerProgram } from './program.ts'
