export const name = '0002_ledger'

export const up = `
-- What happened, as it was written: the stored text is what is hashed, never a new serialisation of it.
create table reglaze.ledger_entries (
  id text primary key,
  incident text,
  bytes text not null
);
create index ledger_entries_incident on reglaze.ledger_entries (incident) where incident is not null;

-- Entries whose transaction has committed and that have no number yet. Writers never wait for each other here.
create table reglaze.ledger_pending (
  n bigint generated always as identity primary key,
  id text not null unique references reglaze.ledger_entries (id)
);

-- The numbered log: leaf hashes of an RFC 6962 tree.
create table reglaze.ledger_leaves (
  seq bigint primary key,
  id text not null unique references reglaze.ledger_entries (id),
  hash bytea not null check (length(hash) = 32)
);

-- 256 hashes a row, packed (C2SP tlog-tiles): level L holds the roots of full tiles of level L-1.
create table reglaze.ledger_tiles (
  level int not null,
  n bigint not null,
  hashes bytea not null,
  primary key (level, n)
);

-- One row. Whoever numbers entries holds its lock until his transaction ends: one sequencer at a time, also after any kill.
create table reglaze.ledger_head (
  one boolean primary key default true check (one),
  size bigint not null default 0,
  -- Identity of the log, fixed by the first sequencer; an epoch is added when a backup was restored.
  origin text,
  epoch text,
  vkey text,
  signed_size bigint not null default -1,
  signed_at timestamptz,
  exported_size bigint not null default -1
);
insert into reglaze.ledger_head default values;

create table reglaze.ledger_checkpoints (
  origin text not null,
  size bigint not null,
  root bytea not null,
  note text not null,
  signed_at timestamptz not null default reglaze.now(),
  primary key (origin, size)
);

create function reglaze.append_only() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger append_only before update or delete or truncate on reglaze.ledger_entries for each statement execute function reglaze.append_only();
create trigger append_only before update or delete or truncate on reglaze.ledger_leaves for each statement execute function reglaze.append_only();
create trigger append_only before update or delete or truncate on reglaze.ledger_checkpoints for each statement execute function reglaze.append_only();
`
