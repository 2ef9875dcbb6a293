export { createClient, CLIENT, ServerError, type CallInput, type Client, type Problem } from './client.ts'
export { serverRoutes, tokenShape } from './server-contract.ts'
