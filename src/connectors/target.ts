import type { z } from 'zod'
import { ReglazeError } from '../core/errors.ts'
import { CONNECTOR } from './errors.ts'

/** The target or right of the configuration in the connector's own shape; CONNECTOR_BAD_TARGET names the first wrong field. */
export function readTarget<T extends z.ZodType>(schema: T, value: unknown, connector: string): z.output<T> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new ReglazeError(CONNECTOR.CONNECTOR_BAD_TARGET, `${connector}: ${issue?.path.join('.') || 'target'}: ${issue?.message}`, { place: ['target', ...(issue?.path ?? [])].join('.') })
}
