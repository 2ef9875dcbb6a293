export const name = '0080_assess'

export const up = `
create table reglaze.assessments (
  id text primary key,
  incident_id text not null,
  at timestamptz not null default reglaze.now(),
  by_whom text not null,
  digest text not null,
  result jsonb not null,
  body text not null
);
create index assessments_incident on reglaze.assessments (incident_id, at);
`
