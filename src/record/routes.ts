import type { Handler } from '../core/route.ts'
import { recordRoutes as r } from './contract.ts'
import { type Recordings, viewRecording } from './service.ts'

export function recordHandlers(recordings: Recordings): Handler[] {
  return [
    { route: r.open, handle: ({ body, caller }) => recordings.open(body, caller) },
    { route: r.part, handle: ({ params, body, caller }) => recordings.part(params.id, body, caller) },
    { route: r.complete, handle: ({ params, body, caller }) => recordings.complete(params.id, body, caller) },
    { route: r.abandon, handle: ({ params, body, caller }) => recordings.abandon(params.id, body.reason, caller) },
    { route: r.list, handle: async ({ query }) => ({ recordings: await recordings.list(query.incident) }) },
    { route: r.get, handle: async ({ params }) => viewRecording(await recordings.find(params.id)) },
    { route: r.data, handle: ({ params, query }) => recordings.data(params.id, query.offset, query.length) },
    { route: r.verify, handle: ({ params }) => recordings.verify(params.id) },
    { route: r.commands, handle: async ({ params }) => ({ commands: await recordings.commands(params.id) }) },
    { route: r.runbook, handle: async ({ params }) => ({ markdown: await recordings.runbook(params.id) }) },
    { route: r.modifications, handle: async ({ query }) => ({ modifications: await recordings.modifications(query) }) },
    { route: r.explain, handle: ({ params, body, caller }) => recordings.explain(params.id, body.reason, caller) },
    { route: r.sources, handle: async () => ({ sources: await recordings.sources() }) },
  ]
}
