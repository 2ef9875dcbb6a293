export const name = '0060_record'

// The pairs are those of RECORDING_TRANSITIONS in src/record/model.ts; a test holds both equal.
export const up = `
create table reglaze.recording_transitions (from_state text, to_state text, primary key (from_state, to_state));
insert into reglaze.recording_transitions values ('open','complete'),('open','partial');
create table reglaze.recordings (
  id text primary key,
  incident_id text,
  grant_id text,
  person text,
  title text not null default '',
  state text not null default 'open' check (state in ('open','complete','partial')),
  reason text,
  -- Bytes that are durable in the file; what the file has beyond is an upload that was not acknowledged.
  size bigint not null default 0 check (size >= 0),
  head text,
  frames int,
  created_at timestamptz not null default reglaze.now(),
  created_by text not null,
  part_at timestamptz,
  completed_at timestamptz,
  check ((state = 'open') = (completed_at is null)),
  check (state <> 'complete' or head is not null),
  check (state <> 'partial' or reason is not null)
);
create index recordings_incident on reglaze.recordings (incident_id);
create function reglaze.recording_moves() returns trigger language plpgsql as $$
begin
  if old.state <> 'open' then raise exception 'recording % is closed', old.id using errcode = 'RG001'; end if;
  if new.state <> old.state and not exists (select 1 from reglaze.recording_transitions t where t.from_state = old.state and t.to_state = new.state) then
    raise exception 'a recording cannot go from % to %', old.state, new.state using errcode = 'RG002';
  end if;
  return new;
end $$;
create trigger recording_moves before update or delete on reglaze.recordings for each row execute function reglaze.recording_moves();

create table reglaze.audit_cursors (
  source text primary key,
  cursor text,
  read_at timestamptz,
  error text,
  failing_since timestamptz
);

create table reglaze.modifications (
  id text primary key,
  source text not null,
  event_id text not null,
  incident_id text,
  at timestamptz not null,
  actor text not null,
  credential text not null,
  source_identity text,
  action text not null,
  request text not null,
  resource_type text not null,
  resource_id text not null,
  resource_name text,
  address text,
  before jsonb,
  after jsonb,
  attributes jsonb not null,
  verdict text not null check (verdict in ('attributed','automation','unexplained')),
  why text not null,
  grant_id text,
  person text,
  hcl text,
  explained_by text,
  explained_at timestamptz,
  explanation text,
  undone jsonb,
  stored_at timestamptz not null default reglaze.now(),
  unique (source, event_id),
  check (verdict <> 'attributed' or (grant_id is not null and person is not null)),
  check ((explained_by is null) = (explanation is null) and (explained_by is null) = (explained_at is null))
);
create index modifications_incident on reglaze.modifications (incident_id, at);
create index modifications_open on reglaze.modifications (incident_id) where verdict = 'unexplained' and explained_by is null;
create index modifications_resource on reglaze.modifications (source, resource_type, resource_id) where verdict <> 'automation' and undone is null;
`
