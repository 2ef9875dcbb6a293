import { z } from 'zod'

/** What this connector reads of HCP Terraform's JSON:API documents. */
const link = z.object({ data: z.object({ id: z.string(), type: z.string() }).nullish() })
export const workspace = z.object({
  data: z.object({
    id: z.string(),
    attributes: z.object({ name: z.string(), 'auto-apply': z.boolean(), locked: z.boolean(), 'locked-reason': z.string().nullish() }),
    relationships: z.object({ 'locked-by': link.nullish() }).nullish(),
  }),
})
export type Workspace = z.output<typeof workspace>['data']

export const run = z.object({
  id: z.string(),
  attributes: z.object({
    status: z.string(),
    message: z.string().nullish(),
    'created-at': z.string(),
    'has-changes': z.boolean().nullish(),
    'auto-apply': z.boolean().nullish(),
    'plan-only': z.boolean().nullish(),
    source: z.string().nullish(),
  }),
  relationships: z.object({ plan: link.nullish() }).nullish(),
})
export type Run = z.output<typeof run>
export const runs = z.object({ data: z.array(run) })

const count = z.number().nullish()
export const plan = z.object({ data: z.object({ attributes: z.object({ 'resource-additions': count, 'resource-changes': count, 'resource-destructions': count, 'resource-imports': count }) }) })
/** The part of Terraform's plan JSON that names what changes. */
export const planJson = z.object({ resource_changes: z.array(z.object({ address: z.string(), change: z.object({ actions: z.array(z.string()) }) })).nullish() })

export const target = z.strictObject({ workspace: z.string().min(1), organization: z.string().min(1).optional() })
/** The setting that a hold captures. A lock that a run holds for itself is no setting. */
export const setting = z.object({ autoApply: z.boolean(), locked: z.boolean(), lockedBy: z.string().nullable() })
export type Setting = z.output<typeof setting>
