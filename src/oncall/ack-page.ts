import type { RawResponse } from './contract.ts'

/** The tiny pages behind the link of a page. No script, nothing from elsewhere; looking at the form has no effect. Pure. */

const STYLE = 'body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem}button{font:inherit;padding:.6rem 1.4rem}small{color:#666}'
const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
  'x-robots-tag': 'noindex',
}

/** The question, with the button. The form posts to the address it came from. */
export function askPage(o: { label: string; title: string; person: string }): RawResponse {
  return page(200, `Acknowledge ${o.label}`, `<h1>${html(o.label)}</h1><p>${html(o.title)}</p>
<form method="post"><button type="submit">I take it (${html(o.person)})</button></form>
<p><small>Acknowledging stops every other page of this incident.</small></p>`)
}

/** The answer, after the button or when there is nothing left to acknowledge. */
export function tellPage(status: number, heading: string, text: string): RawResponse {
  return page(status, heading, `<h1>${html(heading)}</h1><p>${html(text)}</p>`)
}

function page(status: number, title: string, body: string): RawResponse {
  const text = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${html(title)}</title><style>${STYLE}</style></head><body>${body}</body></html>\n`
  return { rawResponse: true, status, headers: HEADERS, body: text }
}

function html(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
