export const name = '0001_store'

export const up = `
-- One place that tells the time. Stable, so that "due_at <= reglaze.now()" is an index condition.
create function reglaze.now() returns timestamptz language sql stable as $$ select pg_catalog.now() $$;

-- Facts about this store as a whole.
create table reglaze.meta (
  key text primary key,
  value jsonb not null,
  set_at timestamptz not null default reglaze.now()
);

-- One row for each living process (one incarnation); its beat is its lease on everything it has claimed.
create table reglaze.nodes (
  key text primary key,
  host text not null,
  pid int not null,
  started_at timestamptz not null default pg_catalog.now(),
  beat_at timestamptz not null default pg_catalog.now()
) with (fillfactor = 50);

create table reglaze.timers (
  id bigint generated always as identity primary key,
  kind text not null,
  subject text not null,
  due_at timestamptz not null,
  -- Set by a poke while the handler runs: run again at this time.
  next_at timestamptz,
  cancelled boolean not null default false,
  owner text,
  attempts int not null default 0,
  last_error text,
  unique (kind, subject)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index timers_due on reglaze.timers (kind, due_at);

-- Journal of multi-step flows: a recorded result is never computed again.
create table reglaze.steps (
  flow text not null,
  key text not null,
  result jsonb not null,
  done_at timestamptz not null default reglaze.now(),
  primary key (flow, key)
);
`
