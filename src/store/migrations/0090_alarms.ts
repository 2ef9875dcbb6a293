export const name = '0090_alarms'
export const up = `
create table alarms (
  id text primary key,
  incident_id text references incidents(id),
  subject text not null,
  body text not null,
  raised_at timestamptz not null default reglaze.now(),
  sent_at timestamptz,
  sent_to text,
  receipt text
);
create index alarms_unsent on alarms (raised_at) where sent_at is null;
`
