// Errors as the Kubernetes API tells them: a `Status` object with reason, message and details.

export class KubeError extends Error {
  readonly code: number
  readonly reason: string
  readonly details: Record<string, unknown>
  constructor(code: number, reason: string, message: string, details: Record<string, unknown> = {}) {
    super(message)
    this.name = 'KubeError'
    this.code = code
    this.reason = reason
    this.details = details
  }
  body(): Record<string, unknown> {
    return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: this.message, reason: this.reason, details: this.details, code: this.code }
  }
}

const KIND = { group: 'argoproj.io', kind: 'applications' }

export function notFound(name: string): KubeError {
  return new KubeError(404, 'NotFound', `applications.argoproj.io "${name}" not found`, { name, ...KIND })
}
export function noSuchPath(): KubeError {
  return new KubeError(404, 'NotFound', 'the server could not find the requested resource')
}
export function conflict(name: string): KubeError {
  return new KubeError(409, 'Conflict', `Operation cannot be fulfilled on applications.argoproj.io "${name}": the object has been modified; please apply your changes to the latest version and try again`, { name, ...KIND })
}
export function alreadyExists(name: string): KubeError {
  return new KubeError(409, 'AlreadyExists', `applications.argoproj.io "${name}" already exists`, { name, ...KIND })
}
export function unauthorized(): KubeError {
  return new KubeError(401, 'Unauthorized', 'Unauthorized')
}
export function forbidden(user: string, verb: string, namespace: string, name?: string): KubeError {
  const what = name === undefined ? '' : ` "${name}"`
  return new KubeError(403, 'Forbidden', `applications.argoproj.io${what} is forbidden: User "${user}" cannot ${verb} resource "applications" in API group "argoproj.io" in the namespace "${namespace}"`, { ...(name === undefined ? {} : { name }), ...KIND })
}
export function invalid(name: string, problems: readonly string[]): KubeError {
  const causes = problems.map((p) => ({ reason: 'FieldValueInvalid', message: p.slice(p.indexOf(':') + 2), field: p.slice(0, p.indexOf(':')) }))
  return new KubeError(422, 'Invalid', `Application.argoproj.io "${name}" is invalid: ${problems.join(', ')}`, { name, ...KIND, causes })
}
export function badRequest(message: string): KubeError {
  return new KubeError(400, 'BadRequest', message)
}
export function unsupportedMedia(contentType: string): KubeError {
  return new KubeError(415, 'UnsupportedMediaType', `the body of the request was in an unknown format - accepted media types include: application/merge-patch+json (got "${contentType}")`)
}
