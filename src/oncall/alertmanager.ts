import { z } from 'zod'
import type { Config } from '../config/schema.ts'
import type { AlertState } from './model.ts'

/** Alertmanager's webhook payload version 4, read leniently: unknown keys are fine, one broken alert does not lose the others. Pure. */

/** PostgreSQL's JSON can hold neither the character U+0000 nor half of a surrogate pair. */
function clean(s: string): string {
  return s.replaceAll('\u0000', '\uFFFD').replace(/\p{Surrogate}/gu, '\uFFFD')
}
/** At most so many characters, without cutting one in two. */
export function shorten(s: string, max: number): string {
  return s.length <= max ? s : `${clean(s.slice(0, max - 1))}…`
}
const text = z.string().transform(clean)
const time = z.iso.datetime({ offset: true })
const pairs = z.record(text, text)
const alertSchema = z.object({
  status: z.enum(['firing', 'resolved']),
  labels: pairs,
  annotations: pairs.nullish().transform((a) => a ?? {}),
  startsAt: time,
  endsAt: time.nullish(),
  generatorURL: text.nullish(),
  fingerprint: z.string().regex(/^[0-9a-f]{1,32}$/i).nullish(),
})
const payloadSchema = z.object({ alerts: z.array(z.unknown()), groupKey: z.string().nullish(), truncatedAlerts: z.number().nullish() })

/** One alert as the sender tells it. */
export interface Incoming {
  readonly fingerprint: string
  /** RFC 3339 in UTC, milliseconds: with source and fingerprint the identity of the episode. */
  readonly startsAt: string
  readonly state: AlertState
  readonly endsAt: string | null
  readonly severity: number | null
  readonly title: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly generatorUrl: string | null
}
export interface Parsed {
  readonly alerts: readonly Incoming[]
  /** How many alerts the sender left out; nothing may be concluded about those. */
  readonly truncated: number
  /** What could not be understood, with its place; empty = all of it was. */
  readonly problems: readonly string[]
}

/** Reads a delivery's body. Never throws: what cannot be understood is in `problems`. */
export function parseDelivery(body: Uint8Array): Parsed {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (error) {
    return { alerts: [], truncated: 0, problems: [`the body is not JSON: ${(error as Error).message}`] }
  }
  const payload = payloadSchema.safeParse(json)
  if (!payload.success) return { alerts: [], truncated: 0, problems: [`not an Alertmanager payload: ${issues(payload.error)}`] }
  const problems: string[] = []
  const alerts = new Map<string, Incoming>()
  payload.data.alerts.forEach((raw, i) => {
    const alert = alertSchema.safeParse(raw)
    if (!alert.success) return problems.push(`alerts[${i}]: ${issues(alert.error)}`)
    const next = incoming(alert.data)
    const key = `${next.fingerprint} ${next.startsAt}`
    // The same episode twice in one body: resolved is the later word.
    if (alerts.get(key)?.state !== 'resolved') alerts.set(key, next)
  })
  return { alerts: [...alerts.values()], truncated: payload.data.truncatedAlerts ?? 0, problems }
}

function incoming(a: z.infer<typeof alertSchema>): Incoming {
  const fingerprint = (a.fingerprint ?? fingerprintOf(a.labels)).toLowerCase()
  const ended = a.endsAt && !a.endsAt.startsWith('0001-') ? new Date(a.endsAt).toISOString() : null
  return {
    fingerprint,
    startsAt: new Date(a.startsAt).toISOString(),
    state: a.status,
    endsAt: a.status === 'resolved' ? ended : null,
    severity: severityOf(a.labels),
    title: shorten(a.annotations['summary'] ?? a.annotations['description'] ?? a.labels['alertname'] ?? `alert ${fingerprint}`, 300),
    labels: a.labels,
    annotations: a.annotations,
    generatorUrl: a.generatorURL ?? null,
  }
}

function issues(error: z.ZodError): string {
  return error.issues.slice(0, 3).map((i) => `${i.path.join('.') || 'the value'}: ${i.message}`).join('; ')
}

const SEVERITIES: Readonly<Record<string, number>> = { critical: 1, error: 2, page: 2, warning: 3, info: 4 }

/** 1 worst … 5, from the label `severity`; null when it is missing or a word that we do not know. */
export function severityOf(labels: Readonly<Record<string, string>>): number | null {
  return SEVERITIES[(labels['severity'] ?? '').trim().toLowerCase()] ?? null
}

/** Prometheus' fingerprint: 64-bit FNV-1a over the labels sorted by name, each as `name 0xFF value 0xFF`; 16 hex digits. */
export function fingerprintOf(labels: Readonly<Record<string, string>>): string {
  let hash = 0xcbf29ce484222325n
  const add = (byte: number) => {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  }
  const encoder = new TextEncoder()
  for (const name of Object.keys(labels).sort()) {
    for (const part of [name, labels[name] as string]) {
      encoder.encode(part).forEach(add)
      add(0xff)
    }
  }
  return hash.toString(16).padStart(16, '0')
}

export interface Routed {
  readonly service: string
  readonly team: string
  /** The rule that matched: its labels. Null = nobody claimed the alert and the catch-all team got it. */
  readonly routedBy: Readonly<Record<string, string>> | null
}
/** Service name of an alert that nobody claims and whose catch-all team runs no service. */
export const UNROUTED = 'unrouted'

/**
 * The service whose rule (services[].alerts) matches with all its labels; the rule with the most labels wins, of equals the
 * first in the configuration. No rule: the first service of the catch-all team (or of the first team), or `unrouted`.
 */
export function routeAlert(config: Pick<Config, 'services' | 'teams' | 'organization'>, labels: Readonly<Record<string, string>>): Routed {
  let best: Routed | null = null
  let size = 0
  for (const service of config.services) {
    for (const rule of service.alerts) {
      const wanted = Object.entries(rule)
      if (wanted.length <= size || !wanted.every(([name, value]) => labels[name] === value)) continue
      size = wanted.length
      best = { service: service.id, team: service.team, routedBy: rule }
    }
  }
  if (best) return best
  const team = config.organization.catch_all_team ?? (config.teams[0] as { id: string }).id
  return { service: config.services.find((s) => s.team === team)?.id ?? UNROUTED, team, routedBy: null }
}
