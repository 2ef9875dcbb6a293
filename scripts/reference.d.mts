export function errorCodes(): Promise<{ parts: Map<string, Map<string, { kind: string; about: string; hint: string; retryable?: boolean }>>; HTTP_STATUS: Record<string, number> }>
export function errorsPage(): Promise<string>
