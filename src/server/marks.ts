import type { Handler, HandlerContext, Json } from '../core/index.ts'
import type { Incidents, Phase } from '../incident/index.ts'

interface Mark {
  readonly phase: Phase
  /** Null: this answer marks nothing. */
  readonly state: (answer: Record<string, Json>) => 'active' | 'done' | null
  /** The incident of the call, as its label or id. */
  readonly incident: (ctx: HandlerContext, answer: Record<string, Json>) => string | null
  readonly evidence: (answer: Record<string, Json>) => Json
}
const byPath = (ctx: HandlerContext): string => String(ctx.params.id)
const items = (a: Record<string, Json>): { decision: string | null; suggested: string | null }[] => (a['items'] ?? []) as never

/** Which call, when it succeeded, moves which phase: the checklist fills itself with evidence (DESIGN §3). */
const MARKS: Readonly<Record<string, readonly Mark[]>> = {
  'assess.run': [{ phase: 'assessing', state: () => 'done', incident: byPath, evidence: (a) => ({ assessment: a['id'] ?? null, digest: a['digest'] ?? null }) }],
  'record.open': [{ phase: 'repairing', state: () => 'active', incident: (_c, a) => a['incident_id'] as string | null, evidence: (a) => ({ recording: a['id'] ?? null }) }],
  'record.complete': [
    { phase: 'repairing', state: () => 'done', incident: (_c, a) => a['incident_id'] as string | null, evidence: (a) => ({ recording: a['id'] ?? null }) },
    { phase: 'recording', state: () => 'done', incident: (_c, a) => a['incident_id'] as string | null, evidence: (a) => ({ recording: a['id'] ?? null, chain_head: a['head'] ?? null }) },
  ],
  'reconcile.end-state.put': [{ phase: 'end-state', state: (a) => (items(a).every((i) => i.decision) ? 'done' : 'active'), incident: byPath, evidence: (a) => ({ resources: items(a).length }) }],
  'reconcile.proof': [{ phase: 'reconciling', state: (a) => (a['valid'] === true ? 'done' : 'active'), incident: byPath, evidence: (a) => ({ proof: a['id'] ?? null }) }],
}

export function withMarks(handlers: readonly Handler[], incidents: Incidents): Handler[] {
  return handlers.map((h) => {
    const marks = MARKS[h.route.id]
    if (!marks) return h
    return {
      route: h.route,
      async handle(ctx) {
        const answer = (await h.handle(ctx)) as Record<string, Json>
        for (const m of marks) {
          const state = m.state(answer)
          const incident = m.incident(ctx, answer)
          if (state && incident) await incidents.mark((await incidents.get(incident)).id, m.phase, state, m.evidence(answer), ctx.caller.name)
        }
        return answer
      },
    }
  })
}

/** The end state is done when the last resource has its decision. */
export async function markDecided(incidents: Incidents, incidentId: string, list: readonly { decision: string | null }[], by: string): Promise<void> {
  if (list.length > 0 && list.every((i) => i.decision)) await incidents.mark(incidentId, 'end-state', 'done', { resources: list.length, decided: list.filter((i) => i.decision !== 'none').length }, by)
}
