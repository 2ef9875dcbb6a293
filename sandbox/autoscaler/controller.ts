// Looks at the instances of each group and replaces what is not running: terminate, then launch one like it.
import { randomUUID } from 'node:crypto'
import { CloudError, type CloudClient, type CloudObject, type Journal } from '../lib/index.ts'
import { isSuspended, type Activity, type Entry, type Group, type State } from './model.ts'

/** What a launch takes over from the instance that it replaces; computed attributes are the cloud's. */
const TAKEN_OVER = ['name', 'image', 'size', 'subnet', 'user_data', 'tags', 'labels', 'policy', 'disk'] as const

export class Autoscaler {
  #journal: Journal<State, Entry>
  #cloud: CloudClient
  #graceMs: number
  /** When an instance was first seen unhealthy, by id. */
  #unhealthy = new Map<string, number>()
  constructor(o: { journal: Journal<State, Entry>; cloud: CloudClient; graceMs: number }) {
    this.#journal = o.journal
    this.#cloud = o.cloud
    this.#graceMs = o.graceMs
  }

  async round(): Promise<void> {
    for (const group of Object.values(this.#journal.state.groups)) {
      await this.#finish(group)
      await this.#look(group)
      group.evaluated_at = new Date().toISOString()
    }
  }

  async #look(group: Group): Promise<void> {
    const members = (await this.#cloud.list('instances')).filter((i) => Object.entries(group.match).every(([k, v]) => (i['tags'] as Record<string, string> | null)?.[k] === v))
    for (const instance of members) {
      if (instance['status'] === 'running' || isSuspended(group, 'HealthCheck')) {
        this.#unhealthy.delete(instance.id)
        continue
      }
      const since = this.#unhealthy.get(instance.id) ?? Date.now()
      this.#unhealthy.set(instance.id, since)
      // The mark stays while replacing is suspended: it acts at once when it is resumed, as the real one does.
      if (Date.now() - since < this.#graceMs || isSuspended(group, 'ReplaceUnhealthy')) continue
      await this.#replace(group, instance)
      this.#unhealthy.delete(instance.id)
    }
  }

  async #replace(group: Group, instance: CloudObject): Promise<void> {
    const now = new Date().toISOString()
    const wanted = Object.fromEntries(TAKEN_OVER.filter((k) => instance[k] !== undefined && instance[k] !== null).map((k) => [k, instance[k]]))
    const replace = { ...wanted, tags: { ...(instance['tags'] as Record<string, string> | null), replaced_by: 'autoscaler' } }
    const activity: Activity = {
      activity_id: randomUUID(),
      description: `Replacing instance: ${instance.name} (${instance.id})`,
      cause: `At ${now} an instance was taken out of service in response to a health check: status ${String(instance['status'])}.`,
      start_time: now, end_time: null, status: 'InProgress', status_message: null, instance: instance.id, replace,
    }
    // What to launch is durable before the terminate: a kill between the two must not lose the machine.
    await this.#journal.commit({ t: 'began', name: group.name, activity })
    await this.#carryOut(group, activity)
  }

  /** Activities that a killed process left in progress are carried to their end. */
  async #finish(group: Group): Promise<void> {
    for (const activity of group.activities.filter((a) => a.status === 'InProgress')) {
      await this.#carryOut(group, activity)
    }
  }

  async #carryOut(group: Group, activity: Activity): Promise<void> {
    const replace = activity.replace
    try {
      await this.#cloud.call('DELETE', `/v1/instances/${activity.instance}`).catch((e: unknown) => {
        if (!(e instanceof CloudError) || e.status !== 404) throw e
      })
      const name = String(replace?.['name'] ?? '')
      if (replace !== null && (await this.#cloud.list('instances', name)).length === 0) await this.#cloud.call('POST', '/v1/instances', replace)
      await this.#end(group, activity, 'Successful', null)
    } catch (e) {
      // Refused by the cloud is an end; no answer is not: the next round goes on.
      if (e instanceof CloudError && e.status < 500 && e.status !== 429) await this.#end(group, activity, 'Failed', `${e.code}: ${e.message}`)
      else throw e
    }
  }
  async #end(group: Group, activity: Activity, status: 'Successful' | 'Failed', message: string | null): Promise<void> {
    await this.#journal.commit({ t: 'ended', name: group.name, id: activity.activity_id, status, message, at: new Date().toISOString() })
  }
}
