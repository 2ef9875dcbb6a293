import { pino } from 'pino'

export type Log = ReturnType<typeof createLog>

/** Structured log on stderr, JSON lines; fields that can hold a secret are cut out. */
export function createLog(level = process.env['REGLAZE_LOG'] ?? 'info') {
  return pino(
    { level, base: { program: 'reglaze' }, redact: { paths: ['token', 'secret', 'password', 'authorization', '*.token', '*.secret', '*.password', 'headers.authorization'], censor: '[redacted]' } },
    pino.destination({ dest: 2, sync: true }),
  )
}
