import type { ActingAutomation, Assessment } from './model.ts'

/** The assessment as a page for people. Pure. */
export function assessmentText(label: string, a: Assessment): string {
  const lines = [`Assessment of ${label} (${a.service})`, '', 'What it is about']
  for (const r of a.resources) lines.push(`  ${r.given}${r.id ? `  ${r.type} ${r.id}` : ''}${r.workspace ? `, workspace ${r.workspace}` : ', in no state'}${r.services.length ? `, service ${r.services.join(', ')}` : ''}`)
  section(lines, '1  Which automations act on it', a.automations.map(automationLine), 'none is configured')
  section(
    lines, '2  What depends on it',
    [...a.dependents.services.map((s) => `service ${s.id} (criticality ${s.criticality}): ${s.path.join(' → ')}`), ...a.dependents.resources.map((r) => `${r.address} (${r.type} ${r.id ?? 'without id'})`), ...a.needs.map((s) => `it needs service ${s.id} (criticality ${s.criticality})`)],
    'nothing that we know of',
  )
  const running = a.automations.filter((x) => x.state !== 'held')
  section(lines, '3  Which control loops are running now', running.map((x) => `${x.id}: ${x.state === 'unknown' ? `unknown (${x.reason})` : `running, notices a change within ${x.period}`}${x.working.length ? `, at work now: ${x.working.join(', ')}` : ''}`), a.automations.length === 0 ? 'none that we know of' : 'none: all of them are held')
  section(
    lines, '4  How critical it is',
    [a.criticality.level === null ? 'unknown: no service of the configuration runs on it' : `criticality ${a.criticality.level} of 5 (1 is the most critical), because of ${a.criticality.of}`, ...a.criticality.flags.filter((f) => f.value !== 'unknown').map((f) => `${f.resource}: ${f.name} = ${f.value}: ${f.means}`), ...a.criticality.data_loss.map((d) => `data loss: ${d}`)],
    '',
  )
  section(lines, 'Scheduled jobs that act on it', a.jobs.map((j) => `${j.id}: ${j.schedule}, runs as ${j.runs_as}${j.enabled === false ? ' (disabled)' : ''}`), 'none that we know of')
  if (a.unknown.length > 0) section(lines, 'NOT KNOWN, so the answers above are not complete', a.unknown, '')
  if (running.some((x) => x.state === 'running' && x.how !== 'beside')) lines.push('', `Before a repair by hand:  reglaze pause ${label}`)
  return `${lines.join('\n')}\n`
}

function section(lines: string[], heading: string, items: readonly string[], none: string): void {
  lines.push('', heading, ...(items.length > 0 ? items : [none]).map((item) => `  ${item}`))
}
function automationLine(a: ActingAutomation): string {
  return `${a.id} (${a.how}): ${a.because}; ${a.state}${a.changedBy ? `, last set by ${a.changedBy}` : ''}`
}
