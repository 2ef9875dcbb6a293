import { z } from 'zod'

const json = z.json()

/** Only the fields that we use; the cloud may add others. */
export const membership = z.object({
  role: z.string(),
  principal: z.string(),
  expires_at: z.string().nullable(),
  source_identity: z.string().nullable(),
  note: z.string().nullable(),
  expired: z.boolean(),
})
export type Membership = z.output<typeof membership>

export const session = z.object({ session_id: z.string(), principal: z.string(), roles: z.array(z.string()), expires_at: z.string() })
export type Session = z.output<typeof session>

export const lock = z.object({
  name: z.string(),
  level: z.enum(['read-only', 'no-delete']),
  scope: z.string(),
  except: z.array(z.string()),
  reason: z.string(),
  owner: z.string(),
  updated_by: z.string().optional(),
})
export type Lock = z.output<typeof lock>

export const auditPage = z.object({
  events: z.array(
    z.object({
      id: z.string(),
      time: z.string(),
      actor: z.string(),
      credential: z.string(),
      source_identity: z.string().nullable(),
      method: z.string(),
      path: z.string(),
      action: z.enum(['create', 'update', 'delete', 'read', 'other']),
      resource: z.object({ type: z.string(), id: z.string(), name: z.string().nullable() }).nullable(),
      before: json,
      after: json,
      status: z.number(),
      request: json,
    }),
  ),
  cursor: z.string(),
  complete: z.boolean(),
})

export const resource = z.object({ id: z.string(), name: z.string() }).catchall(json)

export const listOf = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item) })

/** `right` of a grant. */
export const right = z.strictObject({ role: z.string().min(1) })

/** `target` of a hold. */
export const lockTarget = z.strictObject({
  lock: z.string().min(1),
  level: z.enum(['read-only', 'no-delete']).default('read-only'),
  scope: z.string().default('/'),
})

/** What has to be restored of a membership. */
export const priorMembership = z.object({ expires_at: z.string().nullable(), source_identity: z.string().nullable(), note: z.string().nullable() })
/** `prior` of a grant: the membership that was there before, or null. */
export const prior = z.object({ membership: priorMembership.nullable() })

/** `setting` and `prior` of a hold: the lock without what the cloud itself writes, or null for none. */
export const lockSetting = lock.omit({ name: true, updated_by: true }).nullable()
export type LockSetting = z.output<typeof lockSetting>
