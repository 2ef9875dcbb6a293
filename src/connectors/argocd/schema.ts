import { z } from 'zod'

/** What this connector reads of an `argoproj.io/v1alpha1` Application; everything else passes through unseen. */
const optionalText = z.string().nullish()
export const managedFields = z.array(z.object({ manager: optionalText, operation: optionalText, time: optionalText, fieldsV1: z.json().optional() }))
const metadata = z.object({
  name: z.string(),
  namespace: optionalText,
  resourceVersion: z.string(),
  annotations: z.record(z.string(), z.string()).nullish(),
  labels: z.record(z.string(), z.string()).nullish(),
  ownerReferences: z.array(z.object({ apiVersion: z.string(), kind: z.string(), name: z.string() })).nullish(),
  managedFields: managedFields.nullish(),
})
export const syncPolicy = z.record(z.string(), z.json())
const operationState = z.object({
  phase: z.string(),
  message: optionalText,
  startedAt: z.string(),
  finishedAt: optionalText,
  operation: z.object({ initiatedBy: z.object({ username: optionalText, automated: z.boolean().nullish() }).nullish() }).nullish(),
  syncResult: z.object({ revision: optionalText, resources: z.array(z.object({ kind: z.string(), name: z.string(), status: optionalText, message: optionalText })).nullish() }).nullish(),
})
export const application = z.object({
  metadata,
  spec: z.object({ syncPolicy: syncPolicy.nullish() }),
  operation: z.json().optional(),
  status: z
    .object({
      sync: z.object({ status: optionalText, revision: optionalText }).nullish(),
      operationState: operationState.nullish(),
      reconciledAt: optionalText,
    })
    .nullish(),
})
export type Application = z.output<typeof application>
/** Anything that owns an Application: read only to walk further up. */
export const owner = z.object({ metadata })

export const target = z.strictObject({ application: z.string().min(1), namespace: z.string().min(1).optional() })
/** The setting that a hold captures: the whole sync policy; null = the Application has none. */
export const setting = z.object({ syncPolicy: syncPolicy.nullable() })
