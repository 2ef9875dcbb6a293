import { expect, test } from 'vitest'
import type { Caller } from '../core/index.ts'
import { sql } from '../store/index.ts'
import { useTestStore } from '../store/testing/index.ts'
import { StateBackend } from './state-backend.ts'

const t = useTestStore()
const caller = (name: string): Caller => ({ name, role: 'viewer', person: null, tokenId: null, scopes: ['state'] })
const lock = (id: string) => JSON.stringify({ ID: id, Operation: 'OperationTypePlan', Info: '', Who: 'runner', Version: '1', Created: '', Path: '' })

test('a run that had the lock before the hold may ask for it again, write and end; every other is told why not', async () => {
  const backend = new StateBackend(t.store, `${t.dataDir}/states`, async () => [])
  const as = (name: string, method: string, body = '', id: string | null = null) => backend.answer({ method, name: 'production', lockId: id, body, caller: caller(name) })
  expect((await as('svc-runner', 'LOCK', lock('a'))).status).toBe(200)
  await t.advance(1000)
  await sql`insert into tf_state_holds (name, hold_id, incident_id, reason, passes) values ('production', 'hold_x', 'inc_x', 'INC-1 frozen', '["alice"]'::jsonb)`.execute(t.store.db)
  expect((await as('svc-runner', 'LOCK', lock('a'))).status).toBe(200)
  const other = await as('svc-runner', 'LOCK', lock('b'))
  expect(other.status).toBe(423)
  expect(other.body).toContain('INC-1 frozen')
  expect((await as('bob', 'LOCK', lock('a'))).status).toBe(423)
  expect((await as('svc-runner', 'LOCK', 'torn')).status).toBe(423)
  expect((await as('svc-runner', 'POST', '{"serial":1,"lineage":"l"}', 'a')).status).toBe(200)
  expect((await as('svc-runner', 'UNLOCK', lock('a'))).status).toBe(200)
  expect((await as('svc-runner', 'LOCK', lock('a'))).status).toBe(423)
  expect((await as('alice', 'LOCK', lock('c'))).status).toBe(200)
})
