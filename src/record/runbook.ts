import type { RecordedCommand, RecordingHeader, Verification } from './model.ts'
import { maskSecrets } from './secrets.ts'

/** Commands that only look around help nobody as a step of their own, but what failed is worth knowing. */
const LEAVE_OUT = /^\s*(exit|logout|clear|history|pwd)\s*$/

/** Markdown draft: each command with its folder and result, in order. Control characters are shown, never sent to a terminal. */
export function runbookText(header: RecordingHeader, commands: readonly RecordedCommand[], verification: Pick<Verification, 'head' | 'state'>): string {
  const steps = commands.filter((c) => !LEAVE_OUT.test(c.command))
  const lines = [
    `# Runbook draft${header.incident ? `: ${header.incident}` : ''}`, '',
    `From recording \`${header.id}\` of ${header.wall} by ${header.person ?? header.user} on ${header.host}${header.grant ? `, grant \`${header.grant}\`` : ''}.`,
    `The recording is ${verification.state}, SHA-256 chain head \`${verification.head}\`. Secrets are masked by patterns: read it before you share it.`, '',
  ]
  if (steps.length === 0) lines.push('The shell wrote no marks in this recording, so its commands are not listed. Play the recording.', '')
  let cwd: string | null = null
  for (const [index, step] of steps.entries()) {
    const result = step.exitCode === null ? 'did not end' : step.exitCode === 0 ? 'ok' : `**failed with ${step.exitCode}**`
    const seconds = step.end === null ? '' : `, ${(step.end - step.start).toFixed(1)} s`
    lines.push(`## Step ${index + 1} (${result}${seconds})`, '')
    if (step.cwd !== cwd && step.cwd) lines.push(`In \`${visible(step.cwd)}\`:`, '')
    cwd = step.cwd
    const text = visible(maskSecrets(step.command))
    const fence = '`'.repeat(Math.max(3, longestRun(text) + 1))
    lines.push(`${fence}sh`, text, fence, '')
  }
  return lines.join('\n')
}

function visible(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) => (c === '\t' ? c : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`))
}
function longestRun(text: string): number {
  return Math.max(0, ...[...text.matchAll(/`+/g)].map((m) => m[0].length))
}
