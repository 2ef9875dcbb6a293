export { Reconcile } from './service.ts'
export { reconcileHandlers } from './routes.ts'
