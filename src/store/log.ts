/** Where the store tells what it does; a pino logger fits. Never given a secret. */
export interface Log {
  debug(data: object, message: string): void
  info(data: object, message: string): void
  warn(data: object, message: string): void
  error(data: object, message: string): void
}

export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
