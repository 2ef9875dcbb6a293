import { z } from 'zod'
import type { Route } from '../core/index.ts'

const escape = (text: string) => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] as string)
const shape = (schema: z.ZodType, io: 'input' | 'output') => escape(JSON.stringify(z.toJSONSchema(schema, { io, unrepresentable: 'any' }), (key, value: unknown) => (key === '$schema' || key === 'additionalProperties' ? undefined : value), 1))

const STYLE = `:root{color-scheme:light dark;--line:#8884;--soft:#8881}body{font:15px/1.5 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem}h2{margin:2rem 0 .4rem;font-size:1.05rem;text-transform:capitalize}
details{border-bottom:1px solid var(--line)}summary{display:grid;grid-template-columns:5fr 6fr 3fr;gap:1rem;padding:.4rem .3rem;cursor:pointer}summary:hover,summary:focus-visible{background:var(--soft)}
summary span:last-child{font-size:.85rem;opacity:.75}code,pre{font-size:.85rem}pre{margin:.2rem 0 1rem;padding:.6rem;background:var(--soft);overflow:auto;max-height:24rem}h3{font-size:.85rem;margin:.4rem .3rem}
@media(max-width:700px){summary{grid-template-columns:1fr;gap:.1rem}code{word-break:break-all}}`

/** The browsable list of routes at /, without scripts: a call opens to the shapes of what it takes and gives. */
export function docsPage(routes: readonly Route[]): string {
  const groups = new Map<string, Route[]>()
  for (const r of routes) groups.set(r.id.split('.')[0] as string, [...(groups.get(r.id.split('.')[0] as string) ?? []), r])
  const sections = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, list]) => `<section><h2>${escape(name)}</h2>${list.map(call).join('')}</section>`)
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Reglaze API</title><style>${STYLE}</style></head>
<body><h1>Reglaze</h1><p>The HTTP API of this server. Machine-readable: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1). Health: <a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>, <a href="/metrics">/metrics</a>. Calls carry <code>Authorization: Bearer TOKEN</code>. Errors are problem+json with a code, a hint and an occurrence id.</p>${sections.join('')}</body></html>`
}

function call(r: Route): string {
  const roles = r.roles.includes('public') ? 'no token' : r.roles.length === 4 ? 'any role' : r.roles.join(', ')
  const parts = ([['path', r.params, 'input'], ['query', r.query, 'input'], ['body', r.body, 'input'], ['answer', r.response, 'output']] as const).flatMap(([title, schema, io]) => (schema ? [`<h3>${title}</h3><pre>${shape(schema, io)}</pre>`] : []))
  return `<details><summary><code><b>${r.method}</b> ${escape(r.path)}</code><span>${escape(r.summary)}</span><span>${escape(roles)}</span></summary>${parts.join('')}</details>`
}
