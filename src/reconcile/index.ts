export { Reconcile, type Changed } from './service.ts'
export { reconcileHandlers } from './routes.ts'
