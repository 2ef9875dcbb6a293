import { CORE, ReglazeError } from './errors.ts'

const UNIT: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** Milliseconds of a duration such as `90s`, `4h`, `1h30m`, `1d`. Zero and negative durations are refused. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+)(ms|s|m|h|d|w)/g)]
  const total = parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNIT[unit as string] as number), 0)
  if (parts.length === 0 || parts.map((p) => p[0]).join('') !== text || total <= 0 || !Number.isSafeInteger(total)) {
    throw new ReglazeError(CORE.INVALID_INPUT, `"${text}" is not a duration`, { hint: 'Write it like 90s, 4h, 1h30m or 1d.' })
  }
  return total
}

/** The shortest exact text of a duration, for people: 5400000 → `1h30m`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`
  let rest = Math.round(ms / 1000)
  let text = ''
  for (const [unit, size] of [['d', 86_400], ['h', 3600], ['m', 60], ['s', 1]] as const) {
    const n = Math.floor(rest / size)
    if (n > 0) text += `${n}${unit}`
    rest -= n * size
  }
  return text
}
