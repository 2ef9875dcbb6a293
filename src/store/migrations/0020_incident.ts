export const name = '0020_incident'
export const up = `
create sequence incident_number;
create table incidents (
  id text primary key,
  number int not null unique default nextval('incident_number'),
  title text not null,
  service text not null,
  team text,
  severity int not null check (severity between 1 and 5),
  state text not null default 'open' check (state in ('open', 'closed')),
  dri text,
  opened_at timestamptz not null default reglaze.now(),
  opened_by text not null,
  acknowledged_at timestamptz,
  acknowledged_by text,
  alerts_resolved_at timestamptz,
  closed_at timestamptz,
  closed_by text,
  check ((state = 'closed') = (closed_at is not null))
);
create unique index incidents_open on incidents (service) where state = 'open';
create table incident_phases (
  incident_id text not null references incidents(id),
  phase text not null check (phase in ('pausing', 'assessing', 'repairing', 'recording', 'end-state', 'reconciling', 'resuming')),
  state text not null check (state in ('active', 'done')),
  evidence jsonb not null default '{}',
  at timestamptz not null default reglaze.now(),
  by_whom text not null,
  primary key (incident_id, phase)
);
-- closed is terminal for every writer
create function incident_stays_closed() returns trigger language plpgsql as $$
begin
  if old.state = 'closed' then raise exception 'incident % is closed', old.id using errcode = 'RG001'; end if;
  return new;
end $$;
create trigger incident_stays_closed before update or delete on incidents for each row execute function incident_stays_closed();
`
