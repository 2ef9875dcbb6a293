export * from './model.ts'
export * from './engine.ts'
