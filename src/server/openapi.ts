import { z } from 'zod'
import type { Route } from '../core/index.ts'

const problem = {
  type: 'object',
  properties: { type: { type: 'string' }, title: { type: 'string' }, status: { type: 'integer' }, code: { type: 'string' }, kind: { type: 'string' }, detail: { type: 'string' }, hint: { type: 'string' }, place: { type: 'string' }, instance: { type: 'string' }, data: {} },
  required: ['type', 'title', 'status', 'code', 'detail', 'instance'],
}
const schemaOf = (schema: z.ZodType, io: 'input' | 'output') => z.toJSONSchema(schema, { io, unrepresentable: 'any', target: 'draft-2020-12' })

/** OpenAPI 3.1 of the route table: the same table that the server runs and the client calls. */
export function openApi(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const r of [...routes].sort((a, b) => (a.path + a.method < b.path + b.method ? -1 : 1))) {
    const parameters = [...fields(r.params, 'path'), ...fields(r.query, 'query')]
    const path = (paths[r.path] ??= {})
    path[r.method.toLowerCase()] = {
      operationId: r.id, summary: r.summary, tags: [r.id.split('.')[0]], 'x-reglaze-roles': r.roles,
      ...(r.roles.includes('public') ? {} : { security: [{ token: [] }] }),
      ...(parameters.length > 0 ? { parameters } : {}),
      ...(r.body ? { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(r.body, 'input') } } } } : {}),
      responses: {
        '200': { description: 'done', content: { 'application/json': { schema: schemaOf(r.response, 'output') } } },
        default: { description: 'RFC 9457 problem', content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } },
      },
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Reglaze', version: '1', description: 'Break glass, repair fast, reconcile automation.' },
    paths,
    components: { schemas: { Problem: problem }, securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
  }
}

function fields(schema: z.ZodType | undefined, where: 'path' | 'query'): object[] {
  if (!schema) return []
  const json = schemaOf(schema, 'input') as { properties?: Record<string, object>; required?: string[] }
  return Object.entries(json.properties ?? {}).map(([name, s]) => ({ name, in: where, required: where === 'path' || (json.required?.includes(name) ?? false), schema: s }))
}
