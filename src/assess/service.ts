import { createHash } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import { canonical, ReglazeError, type Handler, type Json, type Observation, type PauseState } from '../core/index.ts'
import { append } from '../ledger/index.ts'
import { jsonb, newId, sql, transaction, type Store } from '../store/index.ts'
import { parseState, stateEntries } from '../terraform/pure.ts'
import { assessRoutes } from './contract.ts'
import { assess, type WorkspaceState } from './decide.ts'
import { ASSESS } from './errors.ts'
import type { Assessment, Job } from './model.ts'
import { assessmentText } from './text.ts'

export interface AssessDeps {
  readonly store: Store
  readonly config: () => Config
  /** By id or label; throws when there is none. */
  readonly incident: (idOrLabel: string) => Promise<{ readonly id: string; readonly label: string; readonly service: string }>
  /** Every configured automation, observed now. One that cannot be observed is `unknown`, and is never left out. */
  readonly automations: () => Promise<readonly { readonly id: string; readonly observed: Observation<PauseState> }[]>
  /** The text of the latest Terraform state under the name that `workspaces[].state` gives; null = there is none here. */
  readonly stateOf: (name: string) => Promise<string | null>
  /** Null = none is configured. */
  readonly directory: () => { jobs(): Promise<Observation<readonly Job[]> | readonly Job[]> } | null
  /** Addresses without instance keys that the code of a workspace protects by prevent_destroy; null = the code cannot be read here. */
  readonly preventDestroy?: (workspace: string) => Promise<readonly string[] | null>
}

export interface StoredAssessment {
  readonly id: string
  readonly incident: string
  readonly at: string
  readonly by: string
  readonly digest: string
  readonly assessment: Assessment
  readonly text: string
}

export class Assessments {
  readonly #deps: AssessDeps
  constructor(deps: AssessDeps) {
    this.#deps = deps
  }

  /** Observes, answers the four questions, keeps the answer and its digest in the ledger. Throws ASSESS_NOTHING. */
  async run(idOrLabel: string, resources: readonly string[] | undefined, by: string): Promise<StoredAssessment> {
    const incident = await this.#deps.incident(idOrLabel)
    const config = this.#deps.config()
    const wanted = resources?.length ? resources : (config.services.find((s) => s.id === incident.service)?.resources ?? [])
    if (wanted.length === 0) throw new ReglazeError(ASSESS.ASSESS_NOTHING, `service "${incident.service}" names no resources, and the call names none`)
    const [states, observed, jobs, preventDestroy] = await Promise.all([this.#states(config), this.#deps.automations(), this.#jobs(), this.#protected(config)])
    const assessment = assess({ config, service: incident.service, wanted: [...new Set(wanted)], states, observed, jobs, ...(preventDestroy && { preventDestroy }) })
    return this.#keep(incident, assessment, by)
  }

  async list(idOrLabel: string): Promise<StoredAssessment[]> {
    const incident = await this.#deps.incident(idOrLabel)
    const { rows } = await sql<{ id: string; incident_id: string; at: Date; by_whom: string; digest: string; result: Assessment; body: string }>`
      select * from assessments where incident_id = ${incident.id} order by at desc, id desc limit 50`.execute(this.#deps.store.db)
    return rows.map((r) => ({ id: r.id, incident: r.incident_id, at: r.at.toISOString(), by: r.by_whom, digest: r.digest, assessment: r.result, text: r.body }))
  }

  async #keep(incident: { id: string; label: string }, assessment: Assessment, by: string): Promise<StoredAssessment> {
    const id = newId('assessment')
    const text = assessmentText(incident.label, assessment)
    const digest = createHash('sha256').update(canonical(assessment)).digest('hex')
    const at = await transaction(this.#deps.store.db, async (tx) => {
      const { rows } = await sql<{ at: Date }>`insert into assessments (id, incident_id, by_whom, digest, result, body)
        values (${id}, ${incident.id}, ${by}, ${digest}, ${jsonb(assessment as unknown as Json)}, ${text}) returning at`.execute(tx)
      await append(tx, { kind: 'assess.done', incident: incident.id, subject: id, actor: by, data: summary(assessment, digest) })
      return (rows[0] as { at: Date }).at
    })
    return { id, incident: incident.id, at: at.toISOString(), by, digest, assessment, text }
  }

  async #states(config: Config): Promise<WorkspaceState[]> {
    return Promise.all(
      config.workspaces.map(async ({ id, state }): Promise<WorkspaceState> => {
        const unknown = (reason: string) => ({ workspace: id, status: 'unknown', reason }) as const
        if (!state) return unknown('its state is not kept here')
        try {
          const text = await this.#deps.stateOf(state)
          return text === null ? unknown('no state has been written yet') : { workspace: id, status: 'known', entries: stateEntries(parseState(text)) }
        } catch (error) {
          return unknown((error as Error).message)
        }
      }),
    )
  }

  async #jobs(): Promise<Observation<readonly Job[]> | null> {
    try {
      const directory = this.#deps.directory()
      if (!directory) return null
      const answer = await directory.jobs()
      if ('status' in answer) return answer
      const value = answer.map(({ id, runs_as, schedule, acts_on, enabled }) => ({ id, runs_as, schedule, acts_on, ...(enabled === undefined ? {} : { enabled }) }))
      return { status: 'known', value, at: '', evidence: { source: 'directory', request: 'jobs', answer: value.length } }
    } catch (error) {
      return { status: 'unknown', at: '', reason: (error as Error).message }
    }
  }

  async #protected(config: Config): Promise<Record<string, readonly string[]> | undefined> {
    const read = this.#deps.preventDestroy
    if (!read) return undefined
    const found = await Promise.all(config.workspaces.map(async (w) => [w.id, await read(w.id).catch(() => null)] as const))
    return Object.fromEntries(found.flatMap(([id, list]) => (list ? [[id, list] as const] : [])))
  }
}

/** What the ledger keeps: the digest of the whole, and the heads of the answers. */
function summary(a: Assessment, digest: string): Json {
  const first = <T>(list: readonly T[]): T[] => list.slice(0, 50)
  return {
    digest, resources: first(a.resources.map((r) => r.given)), criticality: a.criticality.level,
    automations: first(a.automations.map((x) => ({ id: x.id, how: x.how, state: x.state }))),
    dependents: { services: first(a.dependents.services.map((s) => s.id)), resources: a.dependents.resources.length },
    jobs: first(a.jobs.map((j) => j.id)), unknown: first(a.unknown.map((u) => u.slice(0, 200))),
  }
}

/** The door of assess for the server. */
export function assessPart(deps: AssessDeps): { readonly routes: Handler[]; readonly assessments: Assessments } {
  const assessments = new Assessments(deps)
  return {
    assessments,
    routes: [
      { route: assessRoutes.assess, handle: ({ params, body, caller }) => assessments.run(params.id, body?.resources, caller.name) },
      { route: assessRoutes.list, handle: async ({ params }) => ({ assessments: await assessments.list(params.id) }) },
    ],
  }
}
