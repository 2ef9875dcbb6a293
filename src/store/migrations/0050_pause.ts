export const name = '0050_pause'
// The pairs are those of HOLD_TRANSITIONS in src/pause/model.ts; a test holds both equal.
export const up = `
create table hold_transitions (from_state text, to_state text, primary key (from_state, to_state));
insert into hold_transitions values
  ('requested','held'),('requested','unknown'),('requested','reverted'),('requested','resuming'),
  ('held','reverted'),('held','unknown'),('held','resuming'),
  ('reverted','held'),('reverted','unknown'),('reverted','resuming'),
  ('unknown','held'),('unknown','reverted'),('unknown','resuming'),
  ('resuming','resumed'),('resuming','stuck'),('resuming','held'),('stuck','resumed'),('stuck','held'),('stuck','resuming');
create table holds (
  id text primary key,
  incident_id text not null references incidents(id),
  automation text not null,
  connector text not null,
  target jsonb not null,
  place int not null,
  state text not null default 'requested',
  reason text not null,
  passes jsonb not null,
  held_for text not null,
  period_ms bigint not null check (period_ms > 0),
  expires_at timestamptz not null,
  expiry_asked boolean not null default false,
  prior jsonb,
  prior_paused boolean,
  observed jsonb,
  observed_at timestamptz,
  error text,
  requested_at timestamptz not null default reglaze.now(),
  held_at timestamptz,
  verified_at timestamptz,
  reverts int not null default 0,
  resume_asked_at timestamptz,
  resume_sent_at timestamptz,
  resumed_at timestamptz,
  first_run jsonb,
  check ((state = 'resumed') = (resumed_at is not null)),
  check (state not in ('held','reverted') or prior is not null)
);
create unique index holds_live on holds (incident_id, automation) where state <> 'resumed';
create function hold_moves() returns trigger language plpgsql as $$
begin
  if old.state <> new.state and not exists (select 1 from hold_transitions t where t.from_state = old.state and t.to_state = new.state) then
    raise exception 'a hold cannot go from % to %', old.state, new.state using errcode = 'RG002';
  end if;
  if old.prior is not null and new.prior is distinct from old.prior then
    raise exception 'the earlier setting is captured once and never changed' using errcode = 'RG003';
  end if;
  return new;
end $$;
create trigger hold_moves before update on holds for each row execute function hold_moves();
create trigger holds_stay before delete on holds for each row execute function no_delete();

create table tf_states (
  name text primary key,
  body text not null,
  serial bigint,
  lineage text,
  updated_at timestamptz not null default reglaze.now(),
  updated_by text not null
);
create table tf_state_versions (
  n bigint generated always as identity primary key,
  name text not null,
  body text not null,
  serial bigint,
  lineage text,
  at timestamptz not null default reglaze.now(),
  by_whom text not null
);
create index tf_state_versions_name on tf_state_versions (name, n desc);
create table tf_locks (
  name text primary key,
  lock_id text not null,
  info jsonb not null,
  by_whom text not null,
  at timestamptz not null default reglaze.now()
);
create table tf_state_holds (
  name text primary key,
  hold_id text not null,
  incident_id text not null,
  reason text not null,
  passes jsonb not null,
  at timestamptz not null default reglaze.now()
);
`
