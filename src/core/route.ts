import type { z } from 'zod'

/** Roles of the API (issue: viewer, responder, approver, admin). `public` = authenticated by other means, or open. */
export type ApiRole = 'viewer' | 'responder' | 'approver' | 'admin'

export interface Route<P extends z.ZodType = z.ZodType, Q extends z.ZodType = z.ZodType, B extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> {
  /** Unique, dotted: `incident.open`. It names the client's method and the OpenAPI operation. */
  readonly id: string
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** `/api/v1/incidents/{id}` */
  readonly path: string
  readonly summary: string
  /** Any of these roles may call it; 'public' = no bearer token needed (the handler authenticates by other means or answers to all). */
  readonly roles: readonly (ApiRole | 'public')[]
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  readonly response: R
}

/** Keeps the schema types of a route; the table of all routes is the contract (OpenAPI, client, authorization matrix). */
export function route<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(r: Route<P, Q, B, R>): Route<P, Q, B, R> {
  return r
}
export const EVERYBODY: readonly ApiRole[] = ['viewer', 'responder', 'approver', 'admin']
export const RESPONDERS: readonly ApiRole[] = ['responder', 'admin']

/** The caller of a route, as the server found out. `person` is null for machine tokens. */
export interface Caller {
  readonly name: string
  readonly role: ApiRole | 'public'
  readonly person: string | null
  readonly tokenId: string | null
  /** What the token may be used for: `api`, `state` (read and write Terraform state), `state-read`. */
  readonly scopes?: readonly string[]
}

export interface HandlerContext {
  // The server has checked these against the route's schemas before the handler sees them.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly params: any
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly query: any
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any
  readonly caller: Caller
  readonly request: { readonly headers: Readonly<Record<string, string>>; readonly rawBody: Uint8Array }
}
/** A route with the function that answers it; a part's door gives a list of these to the server. */
export interface Handler {
  readonly route: Route
  handle(ctx: HandlerContext): Promise<unknown>
}
