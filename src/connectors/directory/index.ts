import { z } from 'zod'
import { ReglazeError } from '../../core/errors.ts'
import { CONNECTOR } from '../errors.ts'
import { callHttp, readAnswer } from '../http.ts'
import { bearer } from '../observed.ts'
import type { Secret } from '../observed.ts'

const person = z.object({ id: z.string(), name: z.string(), email: z.string(), active: z.boolean(), accounts: z.record(z.string(), z.string()) })
const group = z.object({ id: z.string(), name: z.string().nullable(), members: z.array(z.string()) })
const servicePrincipal = z.object({
  id: z.string(),
  name: z.string().nullable(),
  owners: z.array(z.string()),
  credentials: z.array(z.object({ id: z.string(), kind: z.string(), expires_at: z.string().nullable() })),
})
const job = z.object({ id: z.string(), name: z.string().nullable(), runs_as: z.string(), schedule: z.string(), acts_on: z.array(z.string()), enabled: z.boolean() })

export type DirectoryPerson = z.output<typeof person>
export type DirectoryGroup = z.output<typeof group>
export type ServicePrincipal = z.output<typeof servicePrincipal>
export type ScheduledJob = z.output<typeof job>

export interface DirectoryOptions {
  readonly url: string
  /** A key with the role `reader`; nothing here writes. */
  readonly token: Secret
  readonly name: string
  readonly timeoutMs?: number
}

/** Reads the directory: who a person is and which accounts are theirs, and what runs on a schedule under whose identity. */
export interface DirectoryClient {
  /** null: the directory answered that there is no such person. Throws when it did not answer. */
  person(id: string): Promise<DirectoryPerson | null>
  people(): Promise<DirectoryPerson[]>
  groups(): Promise<DirectoryGroup[]>
  servicePrincipals(): Promise<ServicePrincipal[]>
  jobs(): Promise<ScheduledJob[]>
  /** Enabled jobs that act on this resource, e.g. `sandbox_database/orders`. */
  jobsActingOn(resource: string): Promise<ScheduledJob[]>
}

export function directoryClient(o: DirectoryOptions): DirectoryClient {
  const read = async <T extends z.ZodType>(path: string, schema: T): Promise<z.output<T>> => {
    const url = o.url.replace(/\/+$/, '') + path
    const answer = await callHttp({ method: 'GET', url, system: o.name, headers: await bearer(o.token), ...(o.timeoutMs === undefined ? {} : { timeoutMs: o.timeoutMs }) })
    return readAnswer(schema, answer, { system: o.name, what: `GET ${path}` })
  }
  const list = async <T extends z.ZodType>(collection: string, item: T): Promise<z.output<T>[]> => (await read(`/v1/${collection}`, z.object({ items: z.array(item) }))).items
  const jobs = (): Promise<ScheduledJob[]> => list('jobs', job)
  return {
    async person(id) {
      try {
        return await read(`/v1/people/${encodeURIComponent(id)}`, person)
      } catch (e) {
        if (e instanceof ReglazeError && e.code === CONNECTOR.CONNECTOR_NOT_THERE && /does not exist/.test(e.message)) return null
        throw e
      }
    },
    people: () => list('people', person),
    groups: () => list('groups', group),
    servicePrincipals: () => list('service-principals', servicePrincipal),
    jobs,
    jobsActingOn: async (resource) => (await jobs()).filter((j) => j.enabled && j.acts_on.includes(resource)),
  }
}
