import { z } from 'zod'
import { EVERYBODY, RESPONDERS, route } from '../core/route.ts'

const text = z.string()
const service = z.object({ id: text, criticality: z.int(), path: z.array(text) })
export const assessmentShape = z.object({
  service: text,
  resources: z.array(z.object({ given: text, addresses: z.array(text), workspace: text.nullable(), type: text.nullable(), id: text.nullable(), name: text.nullable(), services: z.array(text) })),
  automations: z.array(z.object({
    id: text, connector: text, how: z.enum(['direct', 'service', 'parent', 'beside']), because: text, state: z.enum(['running', 'held', 'unknown']), working: z.array(text), period: text,
    changedBy: text.nullable(), reason: text.nullable(),
  })),
  dependents: z.object({ services: z.array(service), resources: z.array(z.object({ address: text, workspace: text, type: text, id: text.nullable() })) }),
  needs: z.array(service),
  loops: z.array(text),
  criticality: z.object({
    level: z.int().nullable(), of: text.nullable(), data_loss: z.array(text),
    flags: z.array(z.object({ resource: text, name: z.enum(['prevent_destroy', 'deletion_protection', 'skip_final_snapshot']), value: z.union([z.boolean(), z.literal('unknown')]), source: text, means: text })),
  }),
  jobs: z.array(z.object({ id: text, runs_as: text, schedule: text, acts_on: z.array(text), enabled: z.boolean().optional() })),
  unknown: z.array(text),
})
export const storedAssessmentShape = z.object({ id: text, incident: text, at: text, by: text, digest: text, assessment: assessmentShape, text: text.describe('the same as a page for people') })
const params = z.object({ id: text.describe('`INC-42` or the id') })

export const assessRoutes = {
  assess: route({
    id: 'assess.run', method: 'POST', path: '/api/v1/incidents/{id}/assess', roles: RESPONDERS,
    summary: 'Which automations act on the failed resource, what depends on it, which control loops run now, how critical it is; observed now and kept',
    params, body: z.strictObject({ resources: z.array(text.min(1)).max(50).optional().describe("Terraform addresses, `type/id` or `type/name`; default: the resources of the incident's service") }).default({}),
    response: storedAssessmentShape,
  }),
  list: route({ id: 'assess.list', method: 'GET', path: '/api/v1/incidents/{id}/assess', summary: 'The assessments of an incident, the newest first', roles: EVERYBODY, params, response: z.object({ assessments: z.array(storedAssessmentShape) }) }),
}
