import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { sql, type Store } from '../store/index.ts'

export interface Metrics {
  readonly contentType: string
  text(): Promise<string>
  called(route: string, status: number, ms: number): void
}

/** Prometheus metrics: what an operator alarms on is asked of the database at each scrape, so that every process tells the same. */
export function createMetrics(store: Store): Metrics {
  const registry = new Registry()
  const calls = new Histogram({ name: 'reglaze_http_call_seconds', help: 'Time of API calls', labelNames: ['route', 'status'], buckets: [0.005, 0.02, 0.1, 0.5, 2, 10], registers: [registry] })
  new Counter({ name: 'reglaze_up_total', help: 'Starts of this process', registers: [registry] }).inc()
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [registry] })
  const asked: [Gauge, string][] = [
    [gauge('reglaze_grants_live', 'Grants that may exist at a target'), `select count(*)::int as n from grants where state in ('intended','granting','unknown','active','revoking','stuck')`],
    [gauge('reglaze_grants_overdue', 'Grants past their end by more than 5 s that are not revoked: must be 0'), `select count(*)::int as n from grants where state not in ('revoked','denied','withdrawn') and expires_at < reglaze.now() - interval '5 seconds'`],
    [gauge('reglaze_grants_stuck', 'Grants whose revocation fails'), `select count(*)::int as n from grants where state = 'stuck'`],
    [gauge('reglaze_holds_live', 'Automations that are held'), `select count(*)::int as n from holds where state <> 'resumed'`],
    [gauge('reglaze_holds_unknown', 'Holds that cannot be observed or were switched on again'), `select count(*)::int as n from holds where state in ('unknown','reverted','stuck')`],
    [gauge('reglaze_incidents_open', 'Open incidents'), `select count(*)::int as n from incidents where state = 'open'`],
    [gauge('reglaze_pages_unsent', 'Pages that were not handed over yet'), `select count(*)::int as n from pages where state = 'queued'`],
  ]
  return {
    contentType: registry.contentType,
    called: (route, status, ms) => calls.labels(route, String(status)).observe(ms / 1000),
    async text() {
      for (const [g, query] of asked) g.set((await sql.raw<{ n: number }>(query).execute(store.db)).rows[0]?.n ?? 0)
      return registry.metrics()
    },
  }
}
