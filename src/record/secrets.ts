/** Masks what looks like a secret in text that people read or share. The raw recording keeps every byte. */
const NAME = '[\\w-]*(?:passw(?:or)?d|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\\w-]*'
const RULES: readonly [RegExp, string][] = [
  // NAME=value, NAME: value, "name": "value"
  [new RegExp(`(${NAME}["']?\\s*[=:]\\s*)("[^"]*"|'[^']*'|[^\\s,;}&]+)`, 'gi'), '$1****'],
  // --password value, --token=value
  [new RegExp(`(--?${NAME})(\\s+|=)("[^"]*"|'[^']*'|[^\\s-][^\\s]*)`, 'gi'), '$1$2****'],
  [/\b(authorization["']?\s*[:=]\s*["']?(?:bearer|basic|token)\s+)[^\s"']+/gi, '$1****'],
  [/\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}/gi, '$1****'],
  [/([a-z][a-z0-9+.-]*:\/\/[^\s:@/]*:)[^\s@/]+(@)/gi, '$1****$2'],
  [/\b(mysql\w*\s.*?-p)(?=\S)\S+/g, '$1****'],
  [/\b(curl\s.*?(?:-u|--user)\s+[^\s:]+:)\S+/g, '$1****'],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g, '****'],
  [/\bgh[pousr]_[A-Za-z0-9]{20,}\b/g, '****'],
  [/\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}/g, '****'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, '****'],
]

export function maskSecrets(text: string): string {
  return RULES.reduce((masked, [pattern, by]) => masked.replace(pattern, by), text)
}
