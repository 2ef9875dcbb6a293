export { useTestStore } from './store.ts'
export type { TestStore } from './store.ts'
