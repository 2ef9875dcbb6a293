import type { GrantSpec, Json, Observation } from '../core/index.ts'
import { callHttp } from '../connectors/http.ts'
import type { RealState } from '../connectors/terraform-grant/index.ts'

interface Assignment {
  id: string
  principal: string
  role: string
  scope: string
  expires_at: string | null
  source_identity: string | null
}

/** The role assignments of the sandbox cloud as they really are: what `terraform-grant` reads back and, when Terraform cannot, removes. */
export function cloudAssignments(o: { name: string; url: string; token: string }) {
  const call = (method: 'GET' | 'DELETE', path: string, accept: readonly number[] = []) =>
    callHttp({ method, url: `${o.url}${path}`, headers: { authorization: `Bearer ${o.token}` }, system: o.name, accept })
  const list = async (): Promise<Assignment[]> => {
    const { body } = await call('GET', '/v1/role-assignments')
    return (body as { items: unknown }).items as Assignment[]
  }
  const sessions = async (spec: GrantSpec): Promise<{ session_id: string }[]> => {
    const { body } = await call('GET', `/v1/sessions?principal=${encodeURIComponent(spec.principal)}&source_identity=${encodeURIComponent(spec.grantId)}`)
    return (body as { items: { session_id: string }[] }).items
  }
  return {
    async observe(spec: GrantSpec, ids: readonly string[] = []): Promise<Observation<RealState>> {
      const at = new Date().toISOString()
      try {
        const mine = (await list()).filter((a) => a.source_identity === spec.grantId || ids.includes(a.id))
        const live = (await sessions(spec)).length
        const value: RealState = { ids: mine.map((a) => a.id), sessions: live, backstopUntil: mine[0]?.expires_at ?? null }
        return { status: 'known', at, value, evidence: { source: `${o.name} ${o.url}`, request: 'GET /v1/role-assignments, GET /v1/sessions', answer: { assignments: mine as unknown as Json, sessions: live } } }
      } catch (error) {
        return { status: 'unknown', at, reason: (error as Error).message }
      }
    },
    async remove(id: string): Promise<void> {
      await call('DELETE', `/v1/role-assignments/${encodeURIComponent(id)}`, [404])
    },
    async endSessions(spec: GrantSpec): Promise<void> {
      for (const s of await sessions(spec)) await call('DELETE', `/v1/sessions/${encodeURIComponent(s.session_id)}`, [404])
    },
    async marked(): Promise<{ grantId: string; principal: string; detail: Json }[]> {
      return (await list()).filter((a) => a.source_identity?.startsWith('gr_')).map((a) => ({ grantId: a.source_identity as string, principal: a.principal, detail: a as unknown as Json }))
    },
  }
}
