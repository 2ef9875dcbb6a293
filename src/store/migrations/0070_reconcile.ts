export const name = '0070_reconcile'
export const up = `
create table baselines (
  incident_id text not null references incidents(id),
  workspace text not null,
  data jsonb not null,
  at timestamptz not null default reglaze.now(),
  by_whom text not null,
  primary key (incident_id, workspace)
);
create table end_state (
  incident_id text not null references incidents(id),
  workspace text not null,
  address text not null,
  class text not null,
  difference jsonb not null,
  suggested text,
  decision text check (decision in ('codify','revert','import','forget','none')),
  reason text,
  decided_by text,
  decided_at timestamptz,
  at timestamptz not null default reglaze.now(),
  primary key (incident_id, workspace, address)
);
create table proofs (
  id text primary key,
  incident_id text references incidents(id),
  workspace text not null,
  clean boolean not null,
  serial bigint,
  lineage text,
  data jsonb not null,
  at timestamptz not null default reglaze.now(),
  by_whom text not null
);
create index proofs_incident on proofs (incident_id, workspace, at desc);
create table quarantines (
  incident_id text not null references incidents(id),
  workspace text not null,
  address text not null,
  kind text not null check (kind in ('soft','hard')),
  state text not null check (state in ('quarantined','released')),
  data jsonb not null,
  at timestamptz not null default reglaze.now(),
  by_whom text not null,
  primary key (incident_id, workspace, address)
);
`
