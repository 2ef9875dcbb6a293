import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { rootCertificates } from 'node:tls'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** An answer of the cloud that is an error, or no answer at all (status 0). */
export class CloudError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const THROTTLE_TRIES = 5
const TIMEOUT_MS = Number(process.env['SANDBOX_TIMEOUT_MS']) || 30_000
const KEEP = { keepAlive: true, maxSockets: 16 }

// The launcher takes NODE_EXTRA_CA_CERTS out of the environment, because Node would read it at every start.
function authorities(): string[] {
  const file = process.env['SANDBOX_CA_FILE']
  return file ? [...rootCertificates, readFileSync(file, 'utf8')] : [...rootCertificates]
}

/** The calls of this provider to the cloud, over kept-alive connections. */
export class Cloud {
  #url: string
  #token: string
  #secure: boolean
  #agent: Agent

  constructor(url: string, token: string) {
    this.#url = url.replace(/\/+$/, '')
    this.#token = token
    this.#secure = url.startsWith('https:')
    this.#agent = this.#secure ? new TlsAgent({ ...KEEP, ca: authorities() }) : new Agent(KEEP)
  }

  /** The object of the answer; null for 204. Throws {@link CloudError}. Waits and tries again while the cloud throttles. */
  async call(method: string, path: string, body?: JsonObject): Promise<JsonObject | null> {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#send(method, path, body)
      if (answer.status >= 200 && answer.status < 300) return answer.body
      if (answer.status === 429 && attempt < THROTTLE_TRIES) {
        await new Promise((resolve) => setTimeout(resolve, answer.retryAfterMs))
        continue
      }
      const error = answer.body?.['error'] as JsonObject | undefined
      throw new CloudError(answer.status, typeof error?.['message'] === 'string' ? error['message'] : `${method} ${path} answered ${answer.status}`)
    }
  }

  #send(method: string, path: string, body?: JsonObject): Promise<{ status: number; body: JsonObject | null; retryAfterMs: number }> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers: Record<string, string | number> = { authorization: `Bearer ${this.#token}` }
    if (text !== undefined) Object.assign(headers, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    return new Promise((resolve, reject) => {
      const lost = (why: string): void => reject(new CloudError(0, `the cloud at ${this.#url} gave no answer to ${method} ${path}: ${why}`))
      const req = (this.#secure ? tlsRequest : request)(this.#url + path, { method, headers, agent: this.#agent, timeout: TIMEOUT_MS }, (res) => {
        let out = ''
        res.setEncoding('utf8')
        res.on('data', (d: string) => (out += d))
        res.on('error', (e) => lost(e.message))
        res.on('end', () => {
          try {
            const retryAfterMs = (Number(res.headers['retry-after']) || 1) * 1000
            resolve({ status: res.statusCode ?? 0, body: out === '' ? null : (JSON.parse(out) as JsonObject), retryAfterMs })
          } catch {
            reject(new CloudError(res.statusCode ?? 0, `the cloud at ${this.#url} answered ${method} ${path} with something that is not JSON`))
          }
        })
      })
      req.on('timeout', () => req.destroy(new Error(`waited ${TIMEOUT_MS / 1000} s`)))
      req.on('error', (e: NodeJS.ErrnoException) => lost(e.code ?? e.message))
      req.end(text)
    })
  }
}
