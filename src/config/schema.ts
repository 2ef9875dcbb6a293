import { z } from 'zod'
import { parseDuration } from '../core/index.ts'

/** The schema of reglaze.yaml. Strict: an unknown key is an error, so that a typing mistake never silently switches something off. */

const id = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'lower-case letters, digits and dashes, at most 63')
const ids = z.array(id)
const duration = z.string().superRefine((text, ctx) => {
  try {
    parseDuration(text)
  } catch (error) {
    ctx.addIssue({ code: 'custom', message: (error as Error).message })
  }
})
/** Secrets are references, never values. */
const secret = z.string().regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/, 'a secret is a reference: env:NAME or file:PATH')
const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'a time of day like 09:00')
const zone = z.string().refine((name) => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}, 'an IANA time zone like Europe/Paris')
const weekday = z.enum(['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'])
const json: z.ZodType<unknown> = z.json()

export const personSchema = z.strictObject({
  id,
  name: z.string().min(1),
  email: z.email(),
  zone: zone.optional(),
  /** Account name of this person per connector, e.g. `{ cloud: alice }`. */
  accounts: z.record(id, z.string().min(1)).default({}),
})

export const layerSchema = z.strictObject({
  id,
  zone,
  /** First day of turn 0, local date. */
  start: z.string().regex(/^\d{4}-\d{2}-\d{2}$/, 'a date like 2026-01-05'),
  handoff: z.strictObject({ at: timeOfDay }),
  rotation: z.strictObject({ kind: z.enum(['hourly', 'daily', 'weekly', 'monthly']), every: z.int().min(1).max(9000).default(1) }),
  members: ids.min(1, 'a layer without members covers nothing'),
  restrict: z.array(z.strictObject({ days: z.array(weekday).min(1).optional(), from: timeOfDay, to: timeOfDay })).default([]),
})
export const scheduleSchema = z.strictObject({ id, layers: z.array(layerSchema).min(1), fallback: id.optional() })

const notifyTarget = z.union([z.strictObject({ schedule: id }), z.strictObject({ person: id })])
export const escalationSchema = z.strictObject({
  id,
  steps: z.array(z.strictObject({ after: z.union([z.literal('0s'), duration]), notify: z.array(notifyTarget).min(1) })).min(1),
  repeat: z.int().min(0).max(9).default(2),
})

export const teamSchema = z.strictObject({ id, name: z.string().min(1), members: ids.min(1), schedule: id, escalation: id })

export const serviceSchema = z.strictObject({
  id,
  name: z.string().min(1),
  team: id,
  /** 1 is the most critical … 5. */
  criticality: z.int().min(1).max(5),
  depends_on: ids.default([]),
  /** What the service runs on: Terraform addresses or `type/name` of the inventory. */
  resources: z.array(z.string().min(1)).default([]),
  /** Alert labels that belong to this service; all have to match. */
  alerts: z.array(z.record(z.string(), z.string())).default([]),
  runbook: z.string().optional(),
  data_loss: z.array(z.string()).default([]),
})

export const connectorSchema = z.discriminatedUnion('kind', [
  z.strictObject({ id, kind: z.literal('sandbox-cloud'), url: z.string(), token: secret, grant_roles: z.array(z.string()).default([]) }),
  z.strictObject({ id, kind: z.literal('directory'), url: z.string(), token: secret }),
  z.strictObject({ id, kind: z.literal('postgres'), url: secret, role: z.string() }),
  z.strictObject({
    id,
    kind: z.literal('terraform-grant'),
    /** Resource type and provider of the access assignment, and the environment of its Terraform. */
    resource: z.string().default('sandbox_role_assignment'),
    /** Attributes of the resource; `{grant}`, `{principal}`, `{expires_at}` and `{right.NAME}` are filled in. */
    attributes: z.record(z.string(), json).default({ principal: '{principal}', role: '{right.role}', scope: '{right.scope}', expires_at: '{expires_at}', source_identity: '{grant}' }),
    provider: z.strictObject({ name: z.string(), source: z.string(), version: z.string() }),
    env: z.record(z.string(), z.string()).default({}),
    /** Connector that reads the real assignment back. */
    observe_with: id,
  }),
  z.strictObject({ id, kind: z.literal('argocd'), url: z.string(), token: secret, namespace: z.string().default('argocd') }),
  z.strictObject({ id, kind: z.literal('hcp-terraform'), url: z.string(), token: secret, organization: z.string() }),
  z.strictObject({ id, kind: z.literal('autoscaler'), url: z.string(), token: secret }),
  z.strictObject({ id, kind: z.literal('terraform-state') }),
  z.strictObject({ id, kind: z.literal('terraform-pg-lock'), url: secret }),
  z.strictObject({ id, kind: z.literal('smtp'), url: z.string(), from: z.email() }),
])

export const automationSchema = z.strictObject({
  id,
  connector: id,
  /** Which automation at the connector, its shape: `{ application: storefront }`. */
  target: z.record(z.string(), json),
  /** The automation's identities in audit logs: what they write is not a manual modification. */
  identities: z.array(z.string()).default([]),
  /** Automations that write this one's settings: held first, given back last. */
  parents: ids.default([]),
  /** Services and resources that it acts on. */
  services: ids.default([]),
  acts_on: z.array(z.string()).default([]),
  /** Identities that a hold of it must never block besides the DRI, e.g. our own revoker at a control plane. */
  passes: z.array(z.string()).default([]),
  /** How long it needs to notice a change: a hold is read back over two of these. */
  period: duration.default('2m'),
})

export const workspaceSchema = z.strictObject({
  id,
  /** Where the code lives. */
  repository: z.string(),
  /** The branch that the automation follows: a proof is of its commit. */
  branch: z.string().default('main'),
  path: z.string().default('.'),
  services: ids.default([]),
  /** State served by Reglaze under this name. */
  state: z.string().optional(),
})

export const approvalRule = z.strictObject({
  /** CEL; the first rule whose condition holds decides. Absent = always. */
  when: z.string().optional(),
  /** How many distinct people have to approve; 0 = nobody. */
  approvals: z.int().min(0).max(9),
  /** Who may approve. An empty list authorises nobody. */
  approvers: ids.default([]),
})
export const roleSchema = z.strictObject({
  id,
  about: z.string().min(1),
  max_duration: duration,
  default_duration: duration.optional(),
  /** CEL conditions, one has to hold. */
  eligible: z.array(z.strictObject({ when: z.string() })).min(1),
  /** CEL conditions, none may hold. */
  deny: z.array(z.strictObject({ when: z.string(), reason: z.string() })).default([]),
  approval: z.array(approvalRule).min(1),
  targets: z.array(z.strictObject({ connector: id, right: z.record(z.string(), json) })).min(1),
})

export const alertSourceSchema = z.strictObject({
  id,
  kind: z.enum(['alertmanager']),
  /** Secret that the sender gives as bearer token or basic-auth password. */
  token: secret,
})

export const configSchema = z.strictObject({
  organization: z.strictObject({ name: z.string().min(1), catch_all_team: id.optional() }),
  people: z.array(personSchema).min(1),
  teams: z.array(teamSchema).min(1),
  schedules: z.array(scheduleSchema).min(1),
  escalations: z.array(escalationSchema).min(1),
  services: z.array(serviceSchema).min(1),
  connectors: z.array(connectorSchema).default([]),
  automations: z.array(automationSchema).default([]),
  workspaces: z.array(workspaceSchema).default([]),
  roles: z.array(roleSchema).default([]),
  alert_sources: z.array(alertSourceSchema).default([]),
  paging: z.strictObject({ connector: id, public_url: z.string().optional() }).optional(),
})

export type Config = z.infer<typeof configSchema>
export type Person = Config['people'][number]
export type Team = Config['teams'][number]
export type Schedule = Config['schedules'][number]
export type Layer = Schedule['layers'][number]
export type Escalation = Config['escalations'][number]
export type Service = Config['services'][number]
export type Connector = Config['connectors'][number]
export type Automation = Config['automations'][number]
export type Workspace = Config['workspaces'][number]
export type Role = Config['roles'][number]
export type AlertSource = Config['alert_sources'][number]

/** The JSON Schema that editors use (`# yaml-language-server: $schema=…`). */
export function configJsonSchema(): object {
  return z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' })
}
