export const name = '0010_config'
export const up = `
create table config_versions (
  version int generated always as identity primary key,
  digest text not null,
  source text not null,
  config jsonb not null,
  applied_at timestamptz not null default reglaze.now(),
  applied_by text not null
);
create table api_tokens (
  id text primary key,
  name text not null,
  role text not null check (role in ('viewer', 'responder', 'approver', 'admin')),
  person text,
  scopes jsonb not null default '["api"]',
  hash text not null unique,
  created_at timestamptz not null default reglaze.now(),
  created_by text not null,
  expires_at timestamptz,
  revoked_at timestamptz
);
`
