import type { z } from 'zod'
import { ReglazeError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import type { Evidence } from '../../core/ports.ts'
import { CONNECTOR } from '../errors.ts'
import { callHttp, readAnswer } from '../http.ts'
import { bearer } from '../observed.ts'
import type { Secret } from '../observed.ts'

export interface SandboxCloudOptions {
  readonly url: string
  /** A key of our own principal at the cloud; README.md says which roles it needs. */
  readonly token: Secret
  /** Name of this connector, for messages and evidence. */
  readonly name: string
  /** Deadline of one call; default 10 s. */
  readonly timeoutMs?: number
}

/** The calls to a sandbox cloud, each with a deadline, its answer checked. */
export class SandboxCloudClient {
  readonly name: string
  readonly url: string
  #o: SandboxCloudOptions

  constructor(o: SandboxCloudOptions) {
    this.#o = o
    this.name = o.name
    this.url = o.url.replace(/\/+$/, '')
  }

  async get<T extends z.ZodType>(path: string, schema: T): Promise<z.output<T>> {
    const answer = await this.#call('GET', path)
    return readAnswer(schema, answer, { system: this.name, what: `GET ${path}` })
  }
  /** Like get, but null for 404: the object is known not to be there. */
  async find<T extends z.ZodType>(path: string, schema: T): Promise<z.output<T> | null> {
    try {
      return await this.get(path, schema)
    } catch (e) {
      if (e instanceof ReglazeError && e.code === CONNECTOR.CONNECTOR_NOT_THERE && isAbsence(e)) return null
      throw e
    }
  }
  async put(path: string, body: Json): Promise<void> {
    await this.#call('PUT', path, body)
  }
  /** Already gone is success. */
  async remove(path: string): Promise<void> {
    await this.#call('DELETE', path, undefined, [404])
  }
  evidence(request: string, answer: Json): Evidence {
    return { source: `${this.name} ${this.url}`, request, answer }
  }

  async #call(method: 'GET' | 'PUT' | 'DELETE', path: string, body?: Json, accept: readonly number[] = []) {
    const { timeoutMs, token } = this.#o
    return callHttp({
      method,
      url: this.url + path,
      system: this.name,
      headers: await bearer(token),
      accept,
      ...(body === undefined ? {} : { body }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    })
  }
}

// A 404 of something else on that address (a proxy, a wrong URL) does not say that the object is absent.
function isAbsence(e: ReglazeError): boolean {
  return /does not exist/.test(e.message)
}

export const seg = encodeURIComponent
