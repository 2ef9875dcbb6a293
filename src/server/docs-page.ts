import type { Route } from '../core/index.ts'

const escape = (text: string) => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] as string)

/** The browsable list of routes at /, without scripts; the full schemas are in /openapi.json. */
export function docsPage(routes: readonly Route[]): string {
  const groups = new Map<string, Route[]>()
  for (const r of routes) groups.set(r.id.split('.')[0] as string, [...(groups.get(r.id.split('.')[0] as string) ?? []), r])
  const sections = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(
    ([name, list]) => `<section><h2>${escape(name)}</h2><table><thead><tr><th>call</th><th>what it does</th><th>roles</th></tr></thead><tbody>${list
      .map((r) => `<tr><td><code><b>${r.method}</b> ${escape(r.path)}</code></td><td>${escape(r.summary)}</td><td>${escape(r.roles.join(', '))}</td></tr>`)
      .join('')}</tbody></table></section>`,
  )
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Reglaze API</title><style>
:root{color-scheme:light dark;--line:#8884;--soft:#8881}body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem}h2{margin:2rem 0 .4rem;font-size:1.05rem;text-transform:capitalize}table{width:100%;border-collapse:collapse}th{text-align:left;font-weight:600;font-size:.85rem;opacity:.7}
td,th{padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}tr:hover td{background:var(--soft)}code{font-size:.85rem;white-space:nowrap}td:first-child{width:45%}
@media(max-width:700px){table,tbody,tr,td{display:block;width:auto!important}thead{display:none}td{border:0;padding:.1rem .2rem}tr{border-bottom:1px solid var(--line);padding:.4rem 0}code{white-space:normal;word-break:break-all}}</style></head>
<body><h1>Reglaze</h1><p>The HTTP API of this server. Machine-readable: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1). Health: <a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>, <a href="/metrics">/metrics</a>. Calls carry <code>Authorization: Bearer TOKEN</code>.</p>${sections.join('')}</body></html>`
}
