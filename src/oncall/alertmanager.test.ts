import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fingerprintOf, parseDelivery, routeAlert, severityOf } from './alertmanager.ts'
import { FIRING, RESOLVED } from './testing/samples.ts'
import { testConfig } from './testing/world.ts'

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const alert = (o: object = {}) => ({ status: 'firing', labels: { alertname: 'A' }, annotations: {}, startsAt: '2026-11-21T20:35:54.418Z', endsAt: '0001-01-01T00:00:00Z', fingerprint: 'aa', ...o })

describe('the payload', () => {
  it('reads what a real Alertmanager sends', () => {
    const { alerts, problems, truncated } = parseDelivery(readFileSync(FIRING))
    expect({ problems, truncated }).toEqual({ problems: [], truncated: 0 })
    expect(alerts).toMatchObject([{ fingerprint: 'f601ee779ffc365b', startsAt: '2026-11-21T20:35:54.418Z', state: 'firing', endsAt: null, severity: 1, title: 'High % of errors on checkout: 40%' }])
    expect(fingerprintOf(alerts[0]?.labels ?? {})).toBe('f601ee779ffc365b')
    expect(parseDelivery(readFileSync(RESOLVED)).alerts).toMatchObject([{ fingerprint: 'f601ee779ffc365b', startsAt: '2026-11-21T20:35:54.418Z', state: 'resolved', severity: 1 }])
  })

  it('is lenient: unknown keys, missing annotations and fingerprint, nanoseconds, offsets', () => {
    const { alerts, problems } = parseDelivery(bytes({ newKey: 1, alerts: [alert({ annotations: undefined, fingerprint: undefined, startsAt: '2026-11-21T21:35:54.418123456+01:00', more: [] })] }))
    expect(problems).toEqual([])
    expect(alerts).toMatchObject([{ startsAt: '2026-11-21T20:35:54.418Z', title: 'A', fingerprint: fingerprintOf({ alertname: 'A' }) }])
  })

  it('keeps the good alerts when one is broken, and names the place', () => {
    const { alerts, problems } = parseDelivery(bytes({ alerts: [alert(), alert({ startsAt: 'yesterday' }), 7, alert({ fingerprint: 'bb' })] }))
    expect(alerts.map((a) => a.fingerprint)).toEqual(['aa', 'bb'])
    expect(problems).toHaveLength(2)
    expect(problems[0]).toMatch(/^alerts\[1\]: startsAt:/)
  })

  it('takes one episode once, and resolved as the later word', () => {
    const both = [alert({ status: 'resolved', endsAt: '2026-11-21T21:00:00Z' }), alert()]
    for (const alerts of [both, both.toReversed()]) expect(parseDelivery(bytes({ alerts })).alerts).toMatchObject([{ state: 'resolved', endsAt: '2026-11-21T21:00:00.000Z' }])
  })

  it('replaces what a database cannot hold', () => {
    const raw = `{"alerts":[${JSON.stringify(alert()).replace('"A"', '"a\\u0000b\\ud83d"')}]}`
    expect(parseDelivery(bytes(raw)).alerts[0]?.labels).toEqual({ alertname: 'a\uFFFDb\uFFFD' })
  })

  it('says what is wrong, and never throws', () => {
    expect(parseDelivery(bytes('')).problems[0]).toMatch(/not JSON/)
    expect(parseDelivery(new Uint8Array([0xff, 0xfe])).problems[0]).toMatch(/not JSON/)
    expect(parseDelivery(bytes({ version: '3' })).problems[0]).toMatch(/not an Alertmanager payload/)
    fc.assert(fc.property(fc.oneof(fc.uint8Array(), fc.json().map(bytes), fc.array(fc.jsonValue()).map((alerts) => bytes({ alerts }))), (body) => void parseDelivery(body)))
  })
})

it('maps the severity label to 1 … 5, unknown words to null', () => {
  expect(['critical', 'Page', 'error', 'warning', 'info', 'none', ''].map((severity) => severityOf({ severity }))).toEqual([1, 2, 2, 3, 4, null, null])
  expect(severityOf({})).toBeNull()
})

describe('routing', () => {
  const config = testConfig()
  it('wants every label of a rule, and prefers the rule with most of them', () => {
    expect(routeAlert(config, { service: 'checkout', team: 'x' })).toEqual({ service: 'checkout', team: 'shop', routedBy: { service: 'checkout' } })
    expect(routeAlert(config, { service: 'checkout', alertname: 'DatabaseDown' })).toMatchObject({ service: 'orders-db', team: 'platform' })
  })
  it('gives what nobody claims to the catch-all team', () => {
    expect(routeAlert(config, { service: 'other' })).toEqual({ service: 'orders-db', team: 'platform', routedBy: null })
    expect(routeAlert({ ...config, services: [] }, {})).toEqual({ service: 'unrouted', team: 'platform', routedBy: null })
    expect(routeAlert({ ...config, organization: { name: 'x' } }, {})).toMatchObject({ team: 'shop' })
  })
  it('is never matched by an empty rule', () => {
    const services = config.services.map((s) => ({ ...s, alerts: [{}] }))
    expect(routeAlert({ ...config, services }, { a: 'b' }).routedBy).toBeNull()
  })
})
