/** Where a command reads and writes; a test or another program gives its own. */
export interface Io {
  out(text: string): void
  err(text: string): void
  readonly env: NodeJS.ProcessEnv
  /** Ends `audit --follow`. */
  readonly signal?: AbortSignal
}

/** An error for the user, with the way out and the exit code. */
export class CliError extends Error {
  readonly exit: number
  readonly hint: string
  constructor(exit: number, message: string, hint = '') {
    super(message)
    this.exit = exit
    this.hint = hint
  }
}

/** A table with as many columns as the widest row; an empty list says so. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return 'nothing here\n'
  const all = [columns.map((c) => c.toUpperCase()), ...rows]
  const widths = columns.map((_, i) => Math.max(...all.map((r) => (r[i] ?? '').length)))
  return all.map((r) => `${r.map((cell, i) => (i === columns.length - 1 ? cell : cell.padEnd(widths[i] as number))).join('  ').trimEnd()}\n`).join('')
}

/** A value in one line, for people. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return '-'
  if (typeof value === 'string') return value
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return value.join(',')
  return JSON.stringify(value)
}
