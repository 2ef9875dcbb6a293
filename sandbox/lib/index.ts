export * from './http.ts'
export * from './journal.ts'
export * from './process.ts'
