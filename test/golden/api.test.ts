import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Route } from '../../src/core/index.ts'
import { startServer, type Running } from './server.ts'

let r: Running
beforeAll(async () => {
  r = await startServer()
})
afterAll(async () => r.stop())

test('OpenAPI document', async () => {
  const { status, body } = await r.call('GET', '/openapi.json', null)
  expect(status).toBe(200)
  await expect(`${JSON.stringify(body, null, 2)}\n`).toMatchFileSnapshot('./openapi.json')
})

const CALLERS = ['none', 'viewer', 'responder', 'approver', 'admin', 'state only'] as const
/** Answers of the server itself that are no routes of the table. */
const OPEN = ['GET /', 'GET /openapi.json', 'GET /healthz', 'GET /readyz', 'GET /metrics', 'GET /terraform/state/x', 'POST /terraform/state/x', 'LOCK /terraform/state/x', 'UNLOCK /terraform/state/x', 'DELETE /terraform/state/x']

async function cell(method: string, path: string, token: string | null): Promise<string> {
  const { status } = await r.call(method, path, token, method === 'GET' ? undefined : {})
  return status === 401 ? '401' : status === 403 ? '403' : 'yes'
}
async function tokens(): Promise<Map<string, string | null>> {
  const made = new Map<string, string | null>([['none', null], ['admin', r.admin]])
  for (const role of ['viewer', 'responder', 'approver']) made.set(role, await r.token(role, { role, scopes: ['api'] }))
  made.set('state only', await r.token('state', { role: 'admin', scopes: ['state'] }))
  return made
}
const pathOf = (route: Route): string => route.path.replace(/\{\w+\}/g, 'x')

/** Every route is really called by everybody. Allowed = not 401 and not 403; what the call then answers (404, 400) does not matter. */
test('authorization matrix: every route, every role, and nobody', { timeout: 120_000 }, async () => {
  const by = await tokens()
  const routes = [...r.server.routes].sort((a, b) => (a.id < b.id ? -1 : 1))
  const rows: string[][] = []
  for (const route of routes) {
    const row: string[] = []
    for (const caller of CALLERS) row.push(await cell(route.method, pathOf(route), by.get(caller) ?? null))
    rows.push([route.id, `${route.method} ${route.path}`, ...row])
    // A handler may refuse more than the table (the state needs a state scope); nobody may do more than the table says.
    const may = CALLERS.map((c) => (route.roles.includes('public') ? 'by itself' : c === 'none' ? '401' : route.roles.some((x) => x === c) ? 'yes' : '403'))
    const wider = CALLERS.filter((_, i) => (may[i] === '401' || may[i] === '403') && row[i] !== may[i])
    expect(wider, `${route.id} refuses whom its row in the route table does not name`).toEqual([])
  }
  for (const at of OPEN) {
    const [method = '', path = ''] = at.split(' ')
    const row: string[] = []
    for (const caller of CALLERS) row.push(await cell(method, path, by.get(caller) ?? null))
    rows.push(['(server)', at.replace('/x', '/{name}'), ...row])
  }
  expect(new Set(rows.map((x) => x[1])).size, 'no two routes have the same method and path').toBe(rows.length)
  await expect(`Who may call what. Found by calling every route. 401 = not signed in, 403 = refused. Written by \`npm run golden\`.\n\n${table(['route', 'call', ...CALLERS], rows)}\n`).toMatchFileSnapshot('./authorization.txt')
})

function table(head: readonly string[], rows: readonly string[][]): string {
  const all = [[...head], ...rows]
  const width = head.map((_, i) => Math.max(...all.map((x) => (x[i] ?? '').length)))
  return all.map((x) => x.map((c, i) => c.padEnd(width[i] ?? 0)).join('  ').trimEnd()).join('\n')
}
