export type { SandboxCloudOptions } from './client.ts'
export { BACKSTOP_GRACE_MS, cloudGrantable } from './grantable.ts'
export { cloudLocks } from './locks.ts'
export { cloudAudit, cloudInventory } from './reading.ts'
