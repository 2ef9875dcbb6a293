import type { Config } from '../config/schema.ts'
import { shorten } from './alertmanager.ts'
import type { Alert } from './model.ts'
import type { IncidentRef } from './ports.ts'

/** The words of a page: the first-information packet, thin. Pure. */

export interface PageFacts {
  readonly incident: IncidentRef
  readonly person: string
  readonly responsible: boolean
  readonly alerts: readonly Alert[]
  /** Who else was paged and how that stands, e.g. `ben (sent)`. */
  readonly others: readonly string[]
  readonly ackUrl: string
  readonly round: number
  readonly step: number
}

const SHOWN_ALERTS = 5

export function pageText(config: Config, f: PageFacts): { subject: string; text: string } {
  const label = `INC-${f.incident.number}`
  const service = config.services.find((s) => s.id === f.incident.service)
  const title = oneLine(f.incident.title)
  const severity = f.incident.severity === null ? 'unknown' : `${f.incident.severity} (1 is the worst)`
  const escalated = f.round > 0 || f.step > 0 ? ' (escalated: nobody has acknowledged yet)' : ''
  const lines = [
    `${label}  ${title}`,
    '',
    f.responsible ? `You are the responsible person (DRI)${escalated}.` : `You are paged to help${escalated}.`,
    `Acknowledge:  ${f.ackUrl}`,
    '',
    `service       ${service ? `${service.name} (${service.id})` : f.incident.service}, criticality ${service?.criticality ?? 'unknown'}`,
    `severity      ${severity}`,
    `runbook       ${runbook(service?.runbook, f.alerts)}`,
    ...(service?.data_loss.length ? [`data loss     ${service.data_loss.join('; ')}`] : []),
    ...(service?.resources.length ? [`runs on       ${service.resources.slice(0, 5).join(', ')}`] : []),
    ...(service?.depends_on.length ? [`depends on    ${service.depends_on.join(', ')}`] : []),
    `who else      ${f.others.join(', ') || 'nobody yet'}`,
    '',
    ...alertLines(f.alerts),
    'Next:',
    `  reglaze incident ack ${label}`,
    `  reglaze incident show ${label}`,
    ...(config.roles[0] ? [`  reglaze access request ${config.roles[0].id} --incident ${label} --reason "…" --wait`] : []),
    `  reglaze pause ${label}`,
    `  reglaze assess ${label}`,
    '',
  ]
  return { subject: shorten(`[${label}] sev ${f.incident.severity ?? '?'} ${f.incident.service}: ${title}`, 200), text: lines.join('\n') }
}

function alertLines(alerts: readonly Alert[]): string[] {
  if (alerts.length === 0) return []
  const shown = alerts.slice(0, SHOWN_ALERTS).flatMap((a) => {
    const labels = Object.entries(a.labels).sort(([x], [y]) => (x < y ? -1 : 1)).map(([k, v]) => `${k}=${oneLine(v)}`)
    return [`  ${a.state} since ${a.startsAt}  ${oneLine(a.title)}`, `    ${labels.join(' ')}`, ...(a.generatorUrl ? [`    ${oneLine(a.generatorUrl)}`] : [])]
  })
  const more = alerts.length - SHOWN_ALERTS
  return ['Alerts:', ...shown, ...(more > 0 ? [`  and ${more} more`] : []), '']
}

function runbook(configured: string | undefined, alerts: readonly Alert[]): string {
  const told = alerts.map((a) => a.annotations['runbook_url']).find((url) => url)
  return [configured, told && oneLine(told)].filter(Boolean).join('  ·  ') || 'none'
}

/** Text of outside systems stays on its line, whatever is in it. */
function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f\u2028\u2029]+/g, ' ').trim()
}
