import { hash } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { CORE, ReglazeError } from '../core/errors.ts'
import type { OpenItem } from '../core/ports.ts'
import type { Caller } from '../core/route.ts'
import { append } from '../ledger/index.ts'
import type { Tx } from '../store/index.ts'
import { collect, type CollectDeps, UNREAD_MS } from './collect.ts'
import { commands, runbook, verify } from './engine.ts'
import { RECORD } from './errors.ts'
import type { RecordedCommand } from './model.ts'
import * as rows from './store.ts'

export interface RecordDeps extends CollectDeps {
  /** Uploaded recordings are files in `recordings/` here; several server processes must share it. */
  readonly dataDir: string
  /** The id of an incident from its id or label. */
  readonly incidentId: (idOrLabel: string) => Promise<string>
}

export class Recordings {
  readonly deps: RecordDeps
  readonly #dir: string
  constructor(deps: RecordDeps) {
    this.deps = deps
    this.#dir = path.join(deps.dataDir, 'recordings')
    fs.mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
  }
  /** Ids are checked by the contract, so that no path can be smuggled in. */
  file(id: string): string {
    if (!/^rec_[0-9a-zA-Z]+$/.test(id)) throw new ReglazeError(CORE.NOT_FOUND, `there is no recording ${id}`)
    return path.join(this.#dir, `${id}.rec`)
  }
  async find(id: string): Promise<rows.RecordingRow> {
    const row = await rows.findRecording(this.deps.store.db, id)
    if (!row) throw new ReglazeError(CORE.NOT_FOUND, `there is no recording ${id}`)
    return row
  }

  async open(o: { id: string; incident: string | null; grant: string | null; person: string | null; title: string }, caller: Caller) {
    if (o.person !== null && o.person !== caller.person && caller.role !== 'admin') throw new ReglazeError(CORE.REFUSED, `a recording is announced by the person in it, and ${caller.name} is not ${o.person}`)
    const incident = o.incident === null ? null : await this.deps.incidentId(o.incident)
    await this.deps.store.db.transaction().execute(async (tx) => {
      const isNew = await rows.insertRecording(tx, { ...o, incident, person: o.person ?? caller.person, by: caller.name })
      if (isNew) await append(tx, { kind: 'recording.opened', incident, subject: o.id, actor: caller.name, data: { grant: o.grant, person: o.person ?? caller.person, title: o.title } })
    })
    const row = await this.find(o.id)
    mine(row, caller)
    return viewRecording(row)
  }

  /** Bytes are on the disk before the size that acknowledges them is committed; a part that came twice is compared, not written. */
  async part(id: string, o: { offset: number; sha256: string; data: string }, caller: Caller): Promise<{ size: number }> {
    const bytes = Buffer.from(o.data, 'base64')
    if (hash('sha256', bytes, 'hex') !== o.sha256) throw new ReglazeError(RECORD.RECORDING_PART, `the part of ${bytes.length} bytes at ${o.offset} has another SHA-256`)
    const file = this.file(id)
    return this.deps.store.db.transaction().execute(async (tx) => {
      const row = await this.#mineLocked(tx, id, caller)
      const size = Number(row.size)
      const end = o.offset + bytes.length
      if (o.offset > size || (end > size && row.state !== 'open')) throw this.#notNext(row, o.offset)
      if (o.offset < size && !this.#has(file, o.offset, bytes.subarray(0, Math.min(bytes.length, size - o.offset)))) throw this.#notNext(row, o.offset)
      if (end <= size) return { size }
      const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600)
      try {
        for (let done = size - o.offset; done < bytes.length; ) done += fs.writeSync(fd, bytes, done, bytes.length - done, o.offset + done)
        fs.fdatasyncSync(fd)
      } finally {
        fs.closeSync(fd)
      }
      await rows.grown(tx, id, end)
      return { size: end }
    })
  }
  #notNext(row: rows.RecordingRow, offset: number): ReglazeError {
    const code = row.state === 'open' ? RECORD.RECORDING_OFFSET : RECORD.RECORDING_CLOSED
    return new ReglazeError(code, `the part at ${offset} does not continue ${row.id} (${row.state}, ${row.size} bytes)`, { data: { size: Number(row.size), state: row.state } })
  }
  #has(file: string, offset: number, bytes: Uint8Array): boolean {
    const there = Buffer.alloc(bytes.length)
    const fd = fs.openSync(file, 'r')
    try {
      return fs.readSync(fd, there, 0, bytes.length, offset) === bytes.length && there.equals(bytes)
    } finally {
      fs.closeSync(fd)
    }
  }
  async #mineLocked(tx: Tx, id: string, caller: Caller): Promise<rows.RecordingRow> {
    const row = await rows.findRecording(tx, id, true)
    if (!row) throw new ReglazeError(CORE.NOT_FOUND, `there is no recording ${id}`)
    mine(row, caller)
    return row
  }

  /** Verifies the stored bytes against the head that the recorder names. Repeated on a closed recording it gives the same. */
  async complete(id: string, o: { size: number; head: string; reason?: string | undefined }, caller: Caller) {
    const file = this.file(id)
    await this.deps.store.db.transaction().execute(async (tx) => {
      const row = await this.#mineLocked(tx, id, caller)
      if (row.state !== 'open') {
        if (row.head !== o.head) throw this.#notNext(row, o.size)
        return
      }
      if (Number(row.size) !== o.size) throw this.#notNext(row, o.size)
      // Bytes beyond the acknowledged size are of a part that was never committed.
      if (fs.existsSync(file)) fs.truncateSync(file, o.size)
      const found = verify(file, { head: o.head })
      if (!found.ok) throw new ReglazeError(RECORD.RECORDING_BROKEN, `frame ${found.bad?.frame} at byte ${found.bad?.offset}: ${found.bad?.why}`)
      const state = found.state === 'complete' ? 'complete' : 'partial'
      const reason = state === 'complete' ? null : (o.reason ?? found.reason ?? 'interrupted')
      await rows.closeRecording(tx, id, { state, reason, head: found.head, frames: found.frames })
      await append(tx, { kind: 'recording.closed', incident: row.incident_id, subject: id, actor: caller.name, data: { state, reason, size: o.size, frames: found.frames, head: found.head, exit: found.exit?.code ?? null } })
    })
    return viewRecording(await this.find(id))
  }
  async abandon(id: string, reason: string, caller: Caller) {
    await this.deps.store.db.transaction().execute(async (tx) => {
      const row = await rows.findRecording(tx, id, true)
      if (!row) throw new ReglazeError(CORE.NOT_FOUND, `there is no recording ${id}`)
      if (row.state !== 'open') throw this.#notNext(row, Number(row.size))
      const found = fs.existsSync(this.file(id)) ? verify(this.file(id)) : null
      await rows.closeRecording(tx, id, { state: 'partial', reason, head: found?.head ?? null, frames: found?.frames ?? null })
      await append(tx, { kind: 'recording.closed', incident: row.incident_id, subject: id, actor: caller.name, data: { state: 'partial', reason, size: Number(row.size), frames: found?.frames ?? null, head: found?.head ?? null, exit: null } })
    })
    return viewRecording(await this.find(id))
  }

  async list(incident?: string) {
    const id = incident === undefined ? null : await this.deps.incidentId(incident)
    return (await rows.listRecordings(this.deps.store.db, id)).map(viewRecording)
  }
  async data(id: string, offset: number, length: number): Promise<{ offset: number; data: string; size: number }> {
    const size = Number((await this.find(id)).size)
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - offset)))
    if (bytes.length > 0) {
      const fd = fs.openSync(this.file(id), 'r')
      try {
        fs.readSync(fd, bytes, 0, bytes.length, offset)
      } finally {
        fs.closeSync(fd)
      }
    }
    return { offset, data: bytes.toString('base64'), size }
  }
  async verify(id: string) {
    const row = await this.#withFile(id)
    const found = verify(this.file(id), row.head === null ? {} : { head: row.head })
    return { ok: found.ok, state: found.state, frames: found.frames, head: found.head, bad: found.bad }
  }
  async commands(id: string): Promise<RecordedCommand[]> {
    await this.#withFile(id)
    return commands(this.file(id))
  }
  async runbook(id: string): Promise<string> {
    await this.#withFile(id)
    return runbook(this.file(id))
  }
  async #withFile(id: string): Promise<rows.RecordingRow> {
    const row = await this.find(id)
    if (Number(row.size) === 0) throw new ReglazeError(CORE.WRONG_STATE, `nothing of ${id} has been uploaded yet`)
    return row
  }

  async modifications(o: { incident?: string | undefined; verdict?: string | undefined }) {
    const incident = o.incident === undefined ? null : await this.deps.incidentId(o.incident)
    return (await rows.listModifications(this.deps.store.db, { incident, verdict: o.verdict ?? null })).map(viewModification)
  }
  async explain(id: string, reason: string, caller: Caller) {
    await this.deps.store.db.transaction().execute(async (tx) => {
      const row = await rows.findModification(tx, id, true)
      if (!row) throw new ReglazeError(CORE.NOT_FOUND, `there is no modification ${id}`)
      if (row.verdict !== 'unexplained' || row.explained_by !== null) throw new ReglazeError(RECORD.MODIFICATION_EXPLAINED, `${id} needs no explanation: ${row.explained_by ? `${row.explained_by} gave one` : row.why}`)
      if (caller.person !== null && caller.person === row.person) throw new ReglazeError(CORE.REFUSED, 'nobody explains a change of their own', { hint: 'Ask another approver.' })
      await rows.explain(tx, id, caller.person ?? caller.name, reason)
      await append(tx, { kind: 'modification.explained', incident: row.incident_id, subject: id, actor: caller.name, data: { reason, event: row.event_id, source: row.source } })
    })
    return viewModification((await rows.findModification(this.deps.store.db, id)) as rows.ModificationRow)
  }
  async sources() {
    return (await rows.cursors(this.deps.store.db)).map((c) => ({ source: c.source, read_at: c.read_at?.toISOString() ?? null, error: c.error }))
  }

  /** Reads every audit log now, then lists what nobody has answered for. A log that cannot be read blocks too: unknown is not absent. */
  async openItems(incidentId: string): Promise<OpenItem[]> {
    const names = Object.keys(this.deps.sources())
    const now = await Promise.all(names.map((source) => within(collect(this.deps, source), 5000)))
    const items: OpenItem[] = []
    const read = new Map((await rows.cursors(this.deps.store.db)).map((c) => [c.source, c]))
    for (const [i, source] of names.entries()) {
      const c = read.get(source)
      // Read to its end by this very call: an earlier reading says nothing about what came after it.
      if (c?.read_at && c.error === null && now[i] === 'to the end') continue
      const since = c?.read_at ? `since ${c.read_at.toISOString()}` : 'yet'
      items.push({ code: 'AUDIT_UNREAD', what: `the audit log of ${source} could not be read ${since}: ${c?.error ?? 'no answer'}`, command: 'reglaze record sources' })
    }
    for (const r of await rows.openRecordings(this.deps.store.db, incidentId)) {
      items.push({ code: 'RECORDING_OPEN', what: `recording ${r.id} of ${r.person ?? r.created_by} was never uploaded to its end`, command: 'reglaze record upload FILE (or, when it is lost: reglaze record abandon ID --reason …)' })
    }
    for (const m of await rows.unexplained(this.deps.store.db, incidentId)) {
      const thing = m.address ?? `${m.resource_type} ${m.resource_name ?? m.resource_id}`
      items.push({ code: 'MODIFICATION_UNEXPLAINED', what: `${m.action} of ${thing} by ${m.actor} at ${m.at.toISOString()}: ${m.why}`, command: `reglaze record explain ${m.id} --reason …` })
    }
    return items
  }
}

/** A recording belongs to who announced it; only an admin may help out. */
function mine(row: rows.RecordingRow, caller: Caller): void {
  if (row.created_by !== caller.name && caller.role !== 'admin') throw new ReglazeError(CORE.REFUSED, `${row.id} belongs to ${row.created_by}`, { hint: 'Upload under the name that announced it, or as admin.' })
}
async function within(work: Promise<{ more: boolean }>, ms: number): Promise<'to the end' | 'not'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'not'>((resolve) => (timer = setTimeout(() => resolve('not'), Math.min(ms, UNREAD_MS))))
  const done = work.then((w) => (w.more ? ('not' as const) : ('to the end' as const)), () => 'not' as const)
  return Promise.race([done, late]).finally(() => clearTimeout(timer))
}

export function viewRecording(r: rows.RecordingRow) {
  return {
    id: r.id, incident_id: r.incident_id, grant_id: r.grant_id, person: r.person, title: r.title, state: r.state, reason: r.reason, size: Number(r.size), head: r.head, frames: r.frames,
    created_at: r.created_at.toISOString(), created_by: r.created_by, completed_at: r.completed_at?.toISOString() ?? null,
  }
}
export function viewModification(m: rows.ModificationRow) {
  return {
    id: m.id, source: m.source, event: m.event_id, incident_id: m.incident_id, at: m.at.toISOString(), actor: m.actor, credential: m.credential, action: m.action, request: m.request,
    resource: { type: m.resource_type, id: m.resource_id, name: m.resource_name }, address: m.address, attributes: m.attributes, verdict: m.verdict, why: m.why, grant: m.grant_id, person: m.person, hcl: m.hcl,
    explained: m.explained_by === null ? null : { by: m.explained_by, at: (m.explained_at as Date).toISOString(), reason: m.explanation as string }, undone: m.undone,
  }
}
