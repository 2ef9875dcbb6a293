/** What Terraform says went wrong, from its JSON lines or from its boxed text. */
import { ReglazeError } from '../core/errors.ts'
import { TERRAFORM } from './errors.ts'

export interface Diagnostic {
  readonly severity: 'error' | 'warning'
  readonly summary: string
  readonly detail: string
  /** `file:line:column` as far as Terraform tells. */
  readonly place: string | null
  readonly address: string | null
}
interface RawDiagnostic {
  severity: 'error' | 'warning'
  summary: string
  detail?: string
  address?: string
  range?: { filename: string; start: { line: number; column: number } }
}
interface RawLine {
  '@message'?: string
  type?: string
  diagnostic?: RawDiagnostic
}

/** Takes one line of `-json` output: keeps diagnostics, hands progress on. */
export function readLine(line: string, into: Diagnostic[], onProgress?: (text: string) => void): void {
  if (!line.startsWith('{')) return
  let raw: RawLine
  try {
    raw = JSON.parse(line) as RawLine
  } catch {
    return
  }
  if (raw.type === 'diagnostic' && raw.diagnostic) into.push(fromRaw(raw.diagnostic))
  else if (raw['@message'] && raw.type !== 'version' && raw.type !== 'outputs') onProgress?.(raw['@message'])
}
export function fromRaw(d: RawDiagnostic): Diagnostic {
  return {
    severity: d.severity, summary: d.summary, detail: d.detail ?? '', address: d.address ?? null,
    place: d.range ? `${d.range.filename}:${d.range.start.line}:${d.range.start.column}` : null,
  }
}

/** The errors of a text such as Terraform prints without `-json`, box drawing removed. */
export function textDiagnostics(text: string): Diagnostic[] {
  // Some commands colour their errors whatever they are told.
  // eslint-disable-next-line no-control-regex -- ANSI escape sequences
  const plain = text.replace(/\u001b\[[0-9;]*m/g, '').split('\n').map((l) => l.replace(/^[│╷╵|]\s?/u, '')).join('\n')
  const out: Diagnostic[] = []
  for (const part of plain.split(/^(?=Error: |Warning: )/m)) {
    const m = /^(Error|Warning): (.*)\n?([\s\S]*)$/.exec(part)
    if (!m) continue
    const where = /on (\S+) line (\d+)/.exec(m[3] as string)
    out.push({ severity: m[1] === 'Error' ? 'error' : 'warning', summary: m[2] as string, detail: (m[3] as string).trim(), address: null, place: where ? `${where[1]}:${where[2]}:1` : null })
  }
  if (out.length === 0 && plain.trim() !== '') out.push({ severity: 'error', summary: plain.trim().split('\n')[0] as string, detail: plain.trim(), place: null, address: null })
  return out
}

export function diagnosticPlace(all: readonly Diagnostic[]): string | null {
  return all.find((d) => d.severity === 'error' && d.place !== null)?.place ?? null
}

/** The exception for a failed run: the first error with its place; a held lock has its own code. */
export function diagnosticError(command: string, code: number | null, all: readonly Diagnostic[], dir: string): ReglazeError {
  const errors = all.filter((d) => d.severity === 'error')
  // `init` begins with a general sentence and says the place in a later one.
  const first = errors.find((d) => d.place !== null) ?? errors[0]
  const text = first ? `${first.summary}${first.detail ? `: ${first.detail.split('\n').slice(0, 12).join(' ').replace(/\s+/g, ' ').trim()}` : ''}` : `exit code ${String(code)} without a diagnostic`
  const locked = errors.some((d) => /state lock|already locked/i.test(d.summary + d.detail))
  return new ReglazeError(locked ? TERRAFORM.TERRAFORM_LOCKED : TERRAFORM.TERRAFORM_FAILED, `terraform ${command}: ${text}`, {
    place: first?.place ?? dir, data: { diagnostics: errors.map((d) => ({ summary: d.summary, detail: d.detail.slice(0, 2000), place: d.place, address: d.address })) },
  })
}
