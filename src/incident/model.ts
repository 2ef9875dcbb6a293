/** The phases of an incident in the order of the story. They are a checklist with evidence, not a cage: only close is a gate (DESIGN §3). */
export const PHASES = ['pausing', 'assessing', 'repairing', 'recording', 'end-state', 'reconciling', 'resuming'] as const
export type Phase = (typeof PHASES)[number]

export interface Incident {
  readonly id: string
  readonly number: number
  readonly title: string
  readonly service: string
  readonly team: string | null
  /** 1 is the worst … 5. */
  readonly severity: number
  readonly state: 'open' | 'closed'
  /** The one responsible person. */
  readonly dri: string | null
  readonly opened_at: string
  readonly opened_by: string
  readonly acknowledged_at: string | null
  readonly acknowledged_by: string | null
  readonly alerts_resolved_at: string | null
  readonly closed_at: string | null
  readonly closed_by: string | null
}

/** `INC-42`, for people, code markers and lock texts. */
export function label(incident: { number: number }): string {
  return `INC-${incident.number}`
}

/** The number in `INC-42`, `inc-42` or `42`; null for anything else (an id). */
export function numberOf(text: string): number | null {
  const found = /^(?:INC-)?(\d{1,9})$/i.exec(text)
  return found ? Number(found[1]) : null
}
