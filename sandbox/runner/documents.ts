// JSON:API documents with HCP Terraform's attribute names.
import type { User } from '../lib/index.ts'
import { ACTIVE, FINAL, type Run, type Workspace } from './model.ts'

/** An error answer: `{"errors":[{status,title,detail}]}`. */
export class JsonApiError extends Error {
  readonly status: number
  readonly title: string
  constructor(status: number, title: string, detail = '') {
    super(detail)
    this.name = 'JsonApiError'
    this.status = status
    this.title = title
  }
  body(): unknown {
    return { errors: [{ status: String(this.status), title: this.title, ...(this.message === '' ? {} : { detail: this.message }) }] }
  }
}
export const notFound = (): JsonApiError => new JsonApiError(404, 'not found')
export const conflict = (detail: string): JsonApiError => new JsonApiError(409, 'conflict', detail)
export const unprocessable = (detail: string): JsonApiError => new JsonApiError(422, 'invalid attribute', detail)

export function workspaceDocument(ws: Workspace, user: User, workingDirectory: string, current: Run | undefined): unknown {
  const may = !user.groups.includes('readers')
  return {
    id: ws.id,
    type: 'workspaces',
    attributes: {
      actions: { 'is-destroyable': false },
      'auto-apply': ws.auto_apply,
      'created-at': ws.created_at,
      description: ws.description,
      'execution-mode': 'remote',
      locked: ws.locked_by !== null,
      'locked-reason': ws.locked_reason,
      name: ws.name,
      operations: true,
      permissions: { 'can-lock': may, 'can-unlock': may, 'can-force-unlock': user.groups.includes('admins'), 'can-queue-run': may, 'can-queue-apply': may, 'can-update': may, 'can-read-settings': true },
      'queue-all-runs': false,
      source: 'tfe-api',
      'updated-at': ws.updated_at,
      'working-directory': workingDirectory,
    },
    relationships: {
      organization: { data: { id: ws.organization, type: 'organizations' } },
      'current-run': { data: current === undefined ? null : { id: current.id, type: 'runs' } },
      ...(ws.locked_by === null ? {} : { 'locked-by': { data: { id: ws.locked_by.id, type: ws.locked_by.type }, links: { related: `/api/v2/${ws.locked_by.type}/${ws.locked_by.id}` } } }),
    },
    links: { self: `/api/v2/organizations/${ws.organization}/workspaces/${ws.name}` },
  }
}

export function runDocument(run: Run, ws: Workspace): unknown {
  const plan = `plan-${run.id.slice(4)}`
  return {
    id: run.id,
    type: 'runs',
    attributes: {
      actions: { 'is-cancelable': ACTIVE.includes(run.status) || run.status === 'pending', 'is-confirmable': run.status === 'planned', 'is-discardable': run.status === 'planned', 'is-force-cancelable': false },
      'auto-apply': run.auto_apply,
      'created-at': run.created_at,
      'has-changes': run.has_changes,
      'is-destroy': run.is_destroy,
      message: run.message,
      'plan-only': run.plan_only,
      refresh: true,
      'refresh-only': run.refresh_only,
      source: run.source,
      status: run.status,
      'status-timestamps': run.timestamps,
      'trigger-reason': run.trigger_reason,
      // Not in HCP Terraform's document; there the text is in the log of the plan or apply.
      'error-message': run.error,
    },
    relationships: {
      workspace: { data: { id: ws.id, type: 'workspaces' } },
      plan: { data: { id: plan, type: 'plans' }, links: { related: `/api/v2/runs/${run.id}/plan` } },
      apply: { data: { id: `apply-${run.id.slice(4)}`, type: 'applies' }, links: { related: `/api/v2/runs/${run.id}/apply` } },
      'created-by': { data: { id: run.created_by, type: 'users' } },
    },
    links: { self: `/api/v2/runs/${run.id}` },
  }
}

export function planDocument(run: Run, kind: 'plans' | 'applies'): unknown {
  const id = `${kind === 'plans' ? 'plan' : 'apply'}-${run.id.slice(4)}`
  const counts = kind === 'plans' ? run.plan : run.apply
  return {
    id,
    type: kind,
    attributes: {
      ...(kind === 'plans' ? { 'has-changes': run.has_changes } : {}),
      'resource-additions': counts?.additions ?? null,
      'resource-changes': counts?.changes ?? null,
      'resource-destructions': counts?.destructions ?? null,
      'resource-imports': counts?.imports ?? null,
      status: counts !== null ? 'finished' : run.status === 'errored' ? 'errored' : FINAL.includes(run.status) ? 'unreachable' : 'running',
      'log-read-url': `/_archivist/${run.id}.log`,
    },
    links: { self: `/api/v2/${kind}/${id}`, ...(kind === 'plans' ? { 'json-output': `/api/v2/plans/${id}/json-output` } : {}) },
  }
}
