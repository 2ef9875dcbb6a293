// The control-plane lock of the sandbox cloud, held against the same contract as everything that can be paused.
import { testCloud } from '../../../sandbox/cloud/testing/cloud.ts'
import { cloudLocks } from '../sandbox-cloud/index.ts'
import { pausableContract } from './pausable.suite.ts'

const PATH = '/v1/locks/prod'

pausableContract('control-plane lock of the sandbox cloud', async () => {
  const cloud = await testCloud()
  const token = await cloud.key('svc-holder', 'admin')
  const human = await cloud.key('alice', 'admin')
  const spec = { holdId: 'hold_1', incident: 'INC-42', reason: 'INC-42 frozen: break-glass by alice (DRI)', passes: ['svc-holder', 'alice'], expiresAt: '2030-01-01T00:00:00Z', target: { lock: 'prod', level: 'read-only', scope: '/' } }
  return {
    connector: () => cloudLocks({ url: cloud.url, token, name: 'cloud', timeoutMs: 700 }),
    spec,
    raw: async () => {
      const { status, body } = await cloud.call('GET', PATH)
      return status === 404 ? null : { level: body.level, scope: body.scope, except: body.except, reason: body.reason, owner: body.owner }
    },
    humanPauses: async () => void (await cloud.call('PUT', PATH, { level: 'read-only', scope: '/', except: ['svc-holder', 'alice'], reason: 'maintenance', owner: 'alice' }, human)),
    humanResumes: async () => void (await cloud.call('DELETE', PATH, undefined, human)),
    human: 'alice',
    // The connector reads with GET, writes with PUT and DELETE; only its own calls meet the fault.
    fault: async (mode, kind, times = 1) => {
      for (const method of kind === 'read' ? ['GET'] : ['PUT', 'DELETE']) await cloud.call('POST', '/v1/faults', { mode, times, method, path_prefix: PATH, principal: 'svc-holder' })
    },
    clearFaults: async () => void (await cloud.call('DELETE', '/v1/faults')),
    close: () => cloud.close(),
  }
})
