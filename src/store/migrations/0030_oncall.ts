import { defineTransitions } from '../transitions.ts'

export const name = '0030_oncall'

/** The same pairs are PAGE, PAGING, ALERT and DELIVERY in src/oncall/model.ts; a test holds both equal. */
export const oncallTransitions = {
  delivery: defineTransitions('deliveries', 'state', [[null, 'stored'], ['stored', 'processed'], ['stored', 'dead'], ['dead', 'stored']]),
  alert: defineTransitions('alerts', 'state', [[null, 'firing'], [null, 'resolved'], ['firing', 'resolved']]),
  paging: defineTransitions('pagings', 'state', [
    [null, 'running'], ['running', 'acknowledged'], ['running', 'exhausted'], ['running', 'stopped'],
    ['exhausted', 'running'], ['exhausted', 'acknowledged'], ['exhausted', 'stopped'], ['stopped', 'running'], ['stopped', 'acknowledged'],
  ]),
  page: defineTransitions('pages', 'state', [
    [null, 'queued'], ['queued', 'sent'], ['queued', 'acknowledged'], ['queued', 'superseded'], ['queued', 'failed'], ['sent', 'acknowledged'], ['sent', 'superseded'],
  ]),
}

export const up = `
-- What came in, as it came in: stored before the answer.
create table reglaze.deliveries (
  id text primary key,
  source text not null,
  received_at timestamptz not null default reglaze.now(),
  content_type text,
  user_agent text,
  body bytea not null,
  state text not null default 'stored' check (state in ('stored', 'processed', 'dead')),
  processed_at timestamptz,
  alerts int,
  truncated int not null default 0,
  reason text,
  check (state <> 'dead' or reason is not null)
);
create index deliveries_dead on reglaze.deliveries (received_at) where state = 'dead';
${oncallTransitions.delivery.sql}

-- One row per episode: (source, fingerprint, startsAt).
create table reglaze.alerts (
  id text primary key,
  source text not null,
  fingerprint text not null,
  starts_at timestamptz not null,
  state text not null check (state in ('firing', 'resolved')),
  ends_at timestamptz,
  severity int check (severity between 1 and 5),
  title text not null,
  labels jsonb not null,
  annotations jsonb not null,
  generator_url text,
  service text not null,
  team text not null,
  routed_by jsonb,
  incident_id text,
  first_delivery text not null,
  last_delivery text not null,
  resolved_delivery text,
  first_seen timestamptz not null default reglaze.now(),
  last_seen timestamptz not null default reglaze.now(),
  resolved_at timestamptz,
  deliveries int not null default 1,
  unique (source, fingerprint, starts_at),
  check ((state = 'resolved') = (resolved_at is not null))
) with (fillfactor = 80);
create index alerts_firing on reglaze.alerts (service) where state = 'firing';
create index alerts_incident on reglaze.alerts (incident_id);
create index alerts_seen on reglaze.alerts (last_seen);
${oncallTransitions.alert.sql}

create table reglaze.schedule_overrides (
  id text primary key,
  schedule text not null,
  person text not null,
  replaces text,
  from_at timestamptz not null,
  to_at timestamptz not null,
  reason text not null,
  created_at timestamptz not null default reglaze.now(),
  created_by text not null,
  deleted_at timestamptz,
  deleted_by text,
  check (from_at < to_at),
  check ((deleted_at is null) = (deleted_by is null))
);
create index schedule_overrides_live on reglaze.schedule_overrides (schedule, to_at) where deleted_at is null;

-- The paging of one incident: which step of the escalation it is at, and when the next one is due.
create table reglaze.pagings (
  incident_id text primary key,
  first_page text not null unique,
  service text not null,
  team text not null,
  schedule text not null,
  escalation text not null,
  dri text not null,
  state text not null default 'running' check (state in ('running', 'acknowledged', 'exhausted', 'stopped')),
  round int not null default 0,
  -- Index of the policy's step; -1 = only the responsible person so far.
  step int not null default 0,
  next_at timestamptz,
  started_at timestamptz not null default reglaze.now(),
  acknowledged_at timestamptz,
  acknowledged_by text,
  acknowledged_page text,
  reason text,
  check ((state = 'acknowledged') = (acknowledged_by is not null)),
  check (state = 'running' or next_at is null)
);
${oncallTransitions.paging.sql}

-- One page to one person. The link's token is kept readable only until the page is sent; its hash finds the page for ever.
create table reglaze.pages (
  id text primary key,
  incident_id text not null references reglaze.pagings(incident_id) deferrable initially deferred,
  person text not null,
  responsible boolean not null,
  state text not null default 'queued' check (state in ('queued', 'sent', 'acknowledged', 'superseded', 'failed')),
  round int not null,
  step int not null,
  why jsonb not null,
  ack_token text,
  ack_hash text not null unique,
  subject text,
  body text,
  receipt text,
  attempts int not null default 0,
  error text,
  created_at timestamptz not null default reglaze.now(),
  sent_at timestamptz,
  acknowledged_at timestamptz,
  acknowledged_by text,
  check (state <> 'sent' or sent_at is not null),
  check ((state = 'acknowledged') = (acknowledged_by is not null)),
  check (state = 'queued' or ack_token is null)
);
create index pages_incident on reglaze.pages (incident_id);
create index pages_live on reglaze.pages (created_at) where state in ('queued', 'sent');
${oncallTransitions.page.sql}
`
