import { CORE, ReglazeError, type Handler } from '../core/index.ts'
import { pauseRoutes as r } from './contract.ts'
import { view, type Pause } from './service.ts'
import type { StateBackend } from './state-backend.ts'

export function pauseHandlers(pause: Pause, states: StateBackend): Handler[] {
  return [
    { route: r.pause, handle: async ({ params, body, caller }) => ({ holds: (await pause.pause(params.id, body, caller)).map(view) }) },
    { route: r.list, handle: async ({ params }) => ({ holds: (await pause.list(params.id)).map(view) }) },
    { route: r.all, handle: async () => ({ holds: (await pause.all()).map(view) }) },
    { route: r.resume, handle: async ({ params, body, caller }) => ({ holds: (await pause.resume(params.id, body, caller)).map(view) }) },
    {
      route: r.state,
      handle: async ({ params, caller }) => {
        // A state holds secrets in clear: the same scope as for Terraform itself.
        if (!caller.scopes?.includes('state') && !caller.scopes?.includes('state-read')) throw new ReglazeError(CORE.REFUSED, 'this token has no state scope', { hint: 'Make one: reglaze token create NAME --role responder --scope api state-read' })
        const found = await states.latest(params.name)
        if (!found) throw new ReglazeError(CORE.NOT_FOUND, `no Terraform state is stored under "${params.name}"`)
        return found
      },
    },
  ]
}
