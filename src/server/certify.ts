import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { createHash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Json } from '../core/index.ts'
import { label, type Incident } from '../incident/index.ts'
import { buildCertificate, entries } from '../ledger/index.ts'
import type { Sequencer } from '../ledger/index.ts'
import { sql, type Store } from '../store/index.ts'

/** Writes the certificate of a closed incident: what was open, by whom, for how long, every proof's digest. The same file again when it is there. */
export async function certify(store: Store, sequencer: Sequencer, keyDir: string, dir: string, incident: Incident): Promise<{ name: string; text: string }> {
  const name = `${label(incident)}.certificate.json`
  const path = join(dir, name)
  const present = await readFile(path, 'utf8').catch(() => null)
  if (present !== null) return { name, text: present }
  const text = await buildCertificate(store, { incident: incident.id, body: await summary(store, incident), keyDir, sequencer, actor: incident.closed_by ?? 'reglaze' })
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const temporary = `${path}.${randomUUID()}`
  const file = await open(temporary, 'w', 0o644)
  await file.writeFile(text)
  await file.sync()
  await file.close()
  await rename(temporary, path)
  return { name, text }
}

async function summary(store: Store, incident: Incident): Promise<Json> {
  const grants = await sql<{ id: string; person: string; role: string; active_at: Date | null; revoked_at: Date | null; level: string | null; end_reason: string | null; targets: Json }>`
    select g.id, g.person, g.role, g.active_at, g.revoked_at, g.level, g.end_reason, (select jsonb_agg(jsonb_build_object('connector', t.connector, 'right', t.right_wanted, 'principal', t.principal, 'state', t.state)) from grant_targets t where t.grant_id = g.id) as targets
    from grants g where g.incident_id = ${incident.id} order by g.requested_at`.execute(store.db)
  const holds = await sql<{ automation: string; held_at: Date | null; resumed_at: Date | null; reverts: number; prior: Json }>`select automation, held_at, resumed_at, reverts, prior from holds where incident_id = ${incident.id} order by place`.execute(store.db)
  const proofs = await sql<{ id: string; workspace: string; clean: boolean; data: Json; at: Date }>`select id, workspace, clean, data, at from proofs where incident_id = ${incident.id} order by at`.execute(store.db)
  const recordings = await sql<{ id: string; state: string; head: string | null; size: string }>`select id, state, head, size from recordings where incident_id = ${incident.id} order by created_at`.execute(store.db)
  const all = await entries(store.db, { incident: incident.id, limit: 100_000 })
  const seconds = (a: Date | null, b: Date | null) => (a && b ? Math.round((b.getTime() - a.getTime()) / 1000) : null)
  return {
    label: label(incident), title: incident.title, service: incident.service, severity: incident.severity, dri: incident.dri, opened_at: incident.opened_at, closed_at: incident.closed_at, closed_by: incident.closed_by,
    access: grants.rows.map((g) => ({ grant: g.id, person: g.person, role: g.role, from: g.active_at?.toISOString() ?? null, until: g.revoked_at?.toISOString() ?? null, seconds: seconds(g.active_at, g.revoked_at), ended: g.end_reason, revocation: g.level, targets: g.targets })),
    holds: holds.rows.map((h) => ({ automation: h.automation, from: h.held_at?.toISOString() ?? null, until: h.resumed_at?.toISOString() ?? null, seconds: seconds(h.held_at, h.resumed_at), switched_on_meanwhile: h.reverts, given_back: h.prior })),
    proofs: proofs.rows.map((p) => ({ proof: p.id, workspace: p.workspace, clean: p.clean, digest: createHash('sha256').update(JSON.stringify(p.data)).digest('hex'), data: p.data, at: p.at.toISOString() })),
    recordings: recordings.rows.map((r) => ({ recording: r.id, state: r.state, chain_head: r.head, bytes: Number(r.size) })),
    ledger_entries: all.length,
  }
}
