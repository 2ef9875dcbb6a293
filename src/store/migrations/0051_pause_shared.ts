export const name = '0051_pause_shared'
// Two incidents may hold the same automation: the later hold shares the first one's identity at the target (`lead`) and its earlier setting.
export const up = `
alter table holds add column lead text references holds(id);
alter table holds add column resuming_at timestamptz;
create index holds_target on holds (connector, automation) where state <> 'resumed';
`
