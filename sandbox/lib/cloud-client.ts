import { readFileSync } from 'node:fs'
import type { Json } from './http.ts'

export class CloudError extends Error {
  readonly status: number
  readonly code: string
  constructor(status: number, code: string, message: string) {
    super(message)
    this.name = 'CloudError'
    this.status = status
    this.code = code
  }
}

export interface CloudObject {
  readonly id: string
  readonly name: string
  readonly [key: string]: Json
}

/** The cloud as one of its automations sees it: JSON calls with the automation's own key, read anew from its file each time. */
export class CloudClient {
  #url: string
  #tokenFile: string
  #agent: string
  constructor(o: { url: string; tokenFile: string; agent: string }) {
    this.#url = o.url.replace(/\/$/, '')
    this.#tokenFile = o.tokenFile
    this.#agent = o.agent
  }

  /** Throws {@link CloudError} for an answer that is an error, anything else when no answer came within 10 s. */
  async call(method: string, path: string, body?: unknown): Promise<Json> {
    const res = await fetch(`${this.#url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${readFileSync(this.#tokenFile, 'utf8').trim()}`,
        'user-agent': this.#agent,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    })
    const text = await res.text()
    const answer = text === '' ? null : (JSON.parse(text) as Json)
    if (res.ok) return answer
    const error = (answer as { error?: { code?: string; message?: string } } | null)?.error
    throw new CloudError(res.status, error?.code ?? 'Unknown', error?.message ?? `${method} ${path} answered ${res.status}`)
  }

  /** All objects of a collection (`instances`, `routes`, …), or those of one name. */
  async list(collection: string, name?: string): Promise<CloudObject[]> {
    const answer = await this.call('GET', `/v1/${collection}${name === undefined ? '' : `?name=${encodeURIComponent(name)}`}`)
    return (answer as { items: CloudObject[] }).items
  }
}
