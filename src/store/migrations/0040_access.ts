export const name = '0040_access'
// The pairs are those of GRANT_TRANSITIONS and TARGET_TRANSITIONS in src/access/model.ts; a test holds both equal.
export const up = `
create table grant_transitions (from_state text, to_state text, primary key (from_state, to_state));
insert into grant_transitions values
  ('requested','approved'),('requested','denied'),('requested','withdrawn'),
  ('approved','intended'),('approved','withdrawn'),
  ('intended','granting'),('intended','revoking'),
  ('granting','unknown'),('granting','active'),('granting','revoking'),
  ('unknown','active'),('unknown','granting'),('unknown','revoking'),
  ('active','unknown'),('active','granting'),('active','revoking'),
  ('revoking','stuck'),('revoking','revoked'),('stuck','revoking'),('stuck','revoked');
create table grants (
  id text primary key,
  incident_id text references incidents(id),
  role text not null,
  role_text jsonb not null,
  person text not null,
  reason text not null check (length(reason) >= 3),
  state text not null default 'requested',
  decision jsonb not null default '{}',
  approvals_needed int not null default 0,
  approvers jsonb not null default '[]',
  requested_at timestamptz not null default reglaze.now(),
  requested_ms bigint not null check (requested_ms > 0),
  expires_at timestamptz,
  hard_end timestamptz,
  active_at timestamptz,
  end_asked_at timestamptz,
  end_reason text,
  revoked_at timestamptz,
  level text,
  reviewed_by text,
  check (state not in ('intended','granting','unknown','active','revoking','stuck','revoked') or expires_at is not null),
  check (expires_at is null or hard_end is null or expires_at <= hard_end),
  check ((state = 'revoked') = (revoked_at is not null)),
  check (state <> 'revoked' or level is not null)
);
create index grants_live on grants (state) where state not in ('revoked','denied','withdrawn');
create index grants_incident on grants (incident_id);
create table grant_targets (
  grant_id text not null references grants(id),
  n int not null,
  connector text not null,
  right_wanted jsonb not null,
  principal text not null,
  prior jsonb not null,
  state text not null default 'intended' check (state in ('intended','granting','unknown','active','revoking','stuck','revoked')),
  observed jsonb,
  observed_at timestamptz,
  attempts int not null default 0,
  error text,
  granted_at timestamptz,
  revoked_at timestamptz,
  primary key (grant_id, n),
  check (state <> 'revoked' or observed is not null)
);
create table grant_approvals (
  grant_id text not null references grants(id),
  person text not null,
  decision text not null check (decision in ('approve','deny')),
  at timestamptz not null default reglaze.now(),
  primary key (grant_id, person)
);
-- the life cycle, held by the database for every writer; an end can only come nearer
create function grant_moves() returns trigger language plpgsql as $$
begin
  if old.state <> new.state and not exists (select 1 from grant_transitions t where t.from_state = old.state and t.to_state = new.state) then
    raise exception 'a grant cannot go from % to %', old.state, new.state using errcode = 'RG002';
  end if;
  if old.expires_at is not null and (new.expires_at is null or new.expires_at > old.expires_at) then
    raise exception 'the end of a grant cannot be moved later' using errcode = 'RG003';
  end if;
  if old.end_asked_at is not null and new.end_asked_at is distinct from old.end_asked_at then
    raise exception 'the end of a grant was asked for and stays so' using errcode = 'RG003';
  end if;
  return new;
end $$;
create trigger grant_moves before update on grants for each row execute function grant_moves();
create function no_delete() returns trigger language plpgsql as $$ begin raise exception 'rows of % are never deleted', tg_table_name using errcode = 'RG004'; end $$;
create trigger grants_stay before delete on grants for each row execute function no_delete();
create trigger grant_targets_stay before delete on grant_targets for each row execute function no_delete();
`
