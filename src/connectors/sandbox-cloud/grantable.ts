import { ReglazeError } from '../../core/errors.ts'
import { sameJson } from '../../core/json.ts'
import type { Json } from '../../core/json.ts'
import type { GrantSpec, GrantState, Grantable, Observation, PersonRef } from '../../core/ports.ts'
import { z } from 'zod'
import { CONNECTOR } from '../errors.ts'
import { observed } from '../observed.ts'
import { readTarget } from '../target.ts'
import { SandboxCloudClient, seg } from './client.ts'
import type { SandboxCloudOptions } from './client.ts'
import * as schema from './schema.ts'
import type { Membership } from './schema.ts'

/** The cloud ends the membership by itself this long after the deadline, when nobody did before. */
export const BACKSTOP_GRACE_MS = 60_000

type Wanted = { expires_at: string | null; source_identity: string | null; note: string | null }

/**
 * A role in the sandbox cloud for a limited time, over its access management API (`right`: `{ role }`). The membership
 * carries our grant id as source identity, and so do all sessions that begin with it.
 */
export function cloudGrantable(o: SandboxCloudOptions): Grantable {
  return new CloudGrantable(o)
}

class CloudGrantable implements Grantable {
  #cloud: SandboxCloudClient

  constructor(o: SandboxCloudOptions) {
    this.#cloud = new SandboxCloudClient(o)
  }

  async prepare(person: PersonRef, right: Record<string, Json>): Promise<{ principal: string; prior: Record<string, Json> }> {
    const { role } = readTarget(schema.right, right, this.#cloud.name)
    const account = person.accounts[this.#cloud.name] ?? person.accounts['cloud'] ?? person.id
    const principal = await this.#cloud.find(`/v1/principals/${seg(account)}`, z.object({ id: z.string() }))
    if (!principal) throw new ReglazeError(CONNECTOR.CONNECTOR_NOT_THERE, `${this.#cloud.name} has no principal "${account}" for ${person.id}`, { hint: `Create it there, or name the right one in the configuration: people → ${person.id} → accounts → ${this.#cloud.name}.` })
    const present = await this.#membership(role, principal.id)
    // What another grant of ours put there is not the person's own; restoring it would give back what that grant's end took.
    const own = present && !present.expired && !isGrantId(present.source_identity) ? pick(present) : null
    return { principal: principal.id, prior: { membership: own } }
  }

  async grant(spec: GrantSpec): Promise<void> {
    const { role } = this.#right(spec)
    const present = await this.#membership(role, spec.principal)
    if (present && coveredByAnother(present, spec)) return
    const wanted = wantedFor(spec)
    if (present && !present.expired && sameJson(pick(present), wanted)) return
    await this.#cloud.put(pathOf(role, spec.principal), wanted)
  }

  async observe(spec: GrantSpec): Promise<Observation<GrantState>> {
    const { role } = this.#right(spec)
    return observed(async () => {
      const path = pathOf(role, spec.principal)
      const present = await this.#membership(role, spec.principal)
      const sessions = await this.#sessions(spec)
      const member = present !== null && !present.expired && isThisGrants(present, spec)
      const value: GrantState = { member, sessions: sessions.length, backstopUntil: member ? present.expires_at : null, usableUntil: latest(sessions.map((s) => s.expires_at)) }
      const answer: Json = { membership: present, sessions: sessions.map((s) => ({ session_id: s.session_id, expires_at: s.expires_at })) }
      return { value, evidence: this.#cloud.evidence(`GET ${path}, GET ${sessionsPath(spec)}`, answer) }
    })
  }

  /** Takes the membership away, or puts the one back that was there before. What a person removed meanwhile stays removed. */
  async revoke(spec: GrantSpec): Promise<void> {
    const { role } = this.#right(spec)
    const present = await this.#membership(role, spec.principal)
    if (!present || !isThisGrants(present, spec) || coveredByAnother(present, spec)) return
    const before = priorOf(spec)
    if (before) await this.#cloud.put(pathOf(role, spec.principal), before)
    else await this.#cloud.remove(pathOf(role, spec.principal))
  }

  /** A session of this cloud keeps its roles when the membership goes, so each one is ended by itself. */
  async endSessions(spec: GrantSpec): Promise<void> {
    for (const s of await this.#sessions(spec)) await this.#cloud.remove(`/v1/sessions/${seg(s.session_id)}`)
  }

  async credentials(spec: GrantSpec): Promise<Record<string, string>> {
    return {
      SANDBOX_URL: this.#cloud.url,
      login: 'eval "$(sandbox login)"',
      note: `Log in again with your own key (SANDBOX_TOKEN) as ${spec.principal}: a session has the roles of the moment it began, and only a new one carries ${spec.grantId}.`,
    }
  }

  manual(spec: GrantSpec): string {
    const { role } = this.#right(spec)
    const before = priorOf(spec)
    const url = this.#cloud.url + pathOf(role, spec.principal)
    const auth = '-H "Authorization: Bearer $SANDBOX_TOKEN"'
    const first = before ? `curl -fsS -X PUT ${auth} -d ${quoted(JSON.stringify(before))} ${quoted(url)}` : `curl -fsS -X DELETE ${auth} ${quoted(url)}`
    const rest = `curl -fsS ${auth} ${quoted(this.#cloud.url + sessionsPath(spec))} | grep -o '"session_id":"[^"]*"' | cut -d'"' -f4 | xargs -rI{} curl -fsS -X DELETE ${auth} ${this.#cloud.url}/v1/sessions/{}`
    return `${first}; ${rest}`
  }

  async marked(): Promise<{ grantId: string; principal: string; detail: Json }[]> {
    const { items } = await this.#cloud.get('/v1/memberships', schema.listOf(schema.membership))
    return items.flatMap((m) => (isGrantId(m.source_identity) ? [{ grantId: m.source_identity, principal: m.principal, detail: m }] : []))
  }

  #right(spec: GrantSpec) {
    return readTarget(schema.right, spec.right, this.#cloud.name)
  }
  #membership(role: string, principal: string): Promise<Membership | null> {
    return this.#cloud.find(pathOf(role, principal), schema.membership)
  }
  async #sessions(spec: GrantSpec): Promise<schema.Session[]> {
    return (await this.#cloud.get(sessionsPath(spec), schema.listOf(schema.session))).items
  }
}

function pathOf(role: string, principal: string): string {
  return `/v1/memberships/${seg(role)}/${seg(principal)}`
}
function sessionsPath(spec: GrantSpec): string {
  return `/v1/sessions?principal=${seg(spec.principal)}&source_identity=${seg(spec.grantId)}`
}
function isGrantId(mark: string | null): mark is string {
  return mark !== null && /^gr_\w+$/.test(mark)
}
function pick(m: Membership): Wanted {
  return { expires_at: m.expires_at, source_identity: m.source_identity, note: m.note }
}
function priorOf(spec: GrantSpec): Wanted | null {
  const parsed = schema.prior.safeParse(spec.prior)
  return parsed.success ? parsed.data.membership : null
}
function backstopOf(spec: GrantSpec): string {
  return new Date(Date.parse(spec.expiresAt) + BACKSTOP_GRACE_MS).toISOString()
}

// A membership of the person's own that lasts longer keeps its end: if we die, they must not lose what was theirs.
function wantedFor(spec: GrantSpec): Wanted {
  const before = priorOf(spec)
  const backstop = backstopOf(spec)
  const outlasts = before !== null && (before.expires_at === null || Date.parse(before.expires_at) > Date.parse(backstop))
  const incident = spec.incident ? `, ${spec.incident}` : ''
  return { expires_at: outlasts ? before.expires_at : backstop, source_identity: spec.grantId, note: `break-glass ${spec.grantId}${incident} for ${spec.person}, until ${spec.expiresAt}` }
}

/** Another grant of ours holds the same membership for at least as long: it is left alone, or two grants would overwrite each other for ever. */
function coveredByAnother(m: Membership, spec: GrantSpec): boolean {
  if (m.expired || !isGrantId(m.source_identity) || m.source_identity === spec.grantId) return false
  return m.expires_at === null || Date.parse(m.expires_at) >= Date.parse(backstopOf(spec))
}

/**
 * Whether the membership is there because of this grant. Ours by its mark; another grant's only while it covers this one;
 * one without our mark is the person's own if it is exactly as before, and otherwise somebody took our mark off: it goes too.
 */
function isThisGrants(m: Membership, spec: GrantSpec): boolean {
  if (m.source_identity === spec.grantId) return true
  if (isGrantId(m.source_identity)) return coveredByAnother(m, spec)
  const before = priorOf(spec)
  return before === null || !sameJson(pick(m), before)
}

function latest(times: readonly string[]): string | null {
  return times.reduce<string | null>((a, b) => (a === null || Date.parse(b) > Date.parse(a) ? b : a), null)
}
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
