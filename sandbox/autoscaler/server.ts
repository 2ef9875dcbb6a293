import { CloudClient, Faults, Loop, Tokens, openJournal, serveJson } from '../lib/index.ts'
import { autoscalerApi } from './api.ts'
import { Autoscaler } from './controller.ts'
import { apply, type Entry, type State } from './model.ts'

export interface AutoscalerOptions {
  readonly dataDir: string
  readonly port: number
  readonly cloudUrl: string
  readonly cloudTokenFile: string
  readonly tokenFile: string
  readonly intervalMs: number
  /** How long an instance may be unhealthy before it is replaced. */
  readonly graceMs: number
  readonly groups: readonly { name: string; match: Record<string, string> }[]
}

/** Starts the autoscaler: API and loop. Groups of the options are created, or their tags renewed; suspensions stay. */
export async function startAutoscaler(o: AutoscalerOptions): Promise<{ url: string; close(): Promise<void> }> {
  const journal = openJournal<State, Entry>({ dir: o.dataDir, name: 'groups', initial: () => ({ groups: {} }), apply })
  for (const group of o.groups) await journal.commit({ t: 'group', ...group })
  const cloud = new CloudClient({ url: o.cloudUrl, tokenFile: o.cloudTokenFile, agent: 'autoscaler' })
  const autoscaler = new Autoscaler({ journal, cloud, graceMs: o.graceMs })
  const loop = new Loop(() => autoscaler.round(), o.intervalMs)
  const listening = await serveJson(autoscalerApi({ journal, tokens: new Tokens(o.tokenFile), faults: new Faults(), changed: () => loop.poke() }), { port: o.port })
  loop.start()
  return {
    url: listening.url,
    close: async () => {
      await listening.close()
      await loop.stop()
      await journal.close()
    },
  }
}

/** `web:role=web,tier=front` → a group and the tags of its instances. */
export function readGroup(text: string): { name: string; match: Record<string, string> } {
  const [name = '', tags = ''] = text.split(/:(.*)/s)
  const match = Object.fromEntries(tags.split(',').map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string]))
  if (name === '' || Object.entries(match).some(([k, v]) => k === '' || v === undefined || v === '')) throw new Error(`--group ${text}: write NAME:tag=value[,tag=value]`)
  return { name, match }
}
