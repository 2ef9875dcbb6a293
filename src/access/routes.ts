import type { Handler, Json } from '../core/index.ts'
import { accessRoutes as r } from './contract.ts'
import type { Access } from './service.ts'

export function accessHandlers(access: Access): Handler[] {
  return [
    { route: r.roles, handle: async () => ({ roles: access.deps.config().roles.map((x) => ({ id: x.id, about: x.about, max_duration: x.max_duration, targets: x.targets })) }) },
    { route: r.request, handle: ({ body, caller }) => access.request(body, caller) },
    { route: r.explain, handle: ({ body, caller }) => access.explain(body.role, body.incident, body.person ?? caller.person ?? caller.name) },
    {
      route: r.list,
      handle: async ({ query }) => {
        const incident = query.incident ? (await access.deps.incident(query.incident)).id : undefined
        return { grants: await access.list({ all: query.all === 'true', incident }) }
      },
    },
    { route: r.get, handle: ({ params }) => access.view(params.id) },
    { route: r.approve, handle: ({ params, caller }) => access.vote(params.id, 'approve', caller) },
    { route: r.deny, handle: ({ params, body, caller }) => access.vote(params.id, 'deny', caller, body.reason) },
    { route: r.end, handle: ({ params, caller }) => access.endByPerson(params.id, caller) },
    { route: r.credentials, handle: ({ params, caller }) => access.credentials(params.id, caller) },
    { route: r.panic, handle: async ({ body, caller }) => ({ ended: await access.panic(body.scope, body.of, caller) }) as Json },
  ]
}
