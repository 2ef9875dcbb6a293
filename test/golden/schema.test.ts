import { expect, test } from 'vitest'
import { sql } from '../../src/store/index.ts'
import { useTestStore } from '../../src/store/testing/index.ts'

const t = useTestStore({ clock: false })
interface Line {
  owner: string
  line: string
}

/** Tables with their columns, constraints, indexes and triggers, then views and functions: what a reviewer wants to see change. */
const TABLES = sql<Line>`
  select c.relname as owner, 1 as kind, a.attnum::text as place,
    format('  %s %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end,
      case when a.attidentity <> '' then ' identity' else '' end, coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')) as line
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
  where n.nspname = 'reglaze' and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
  union all
  select c.relname, 2, k.conname, format('  constraint %s %s', k.conname, pg_get_constraintdef(k.oid)) from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'reglaze' and k.contype in ('p', 'f', 'u', 'c', 'x')
  union all
  select c.relname, 3, i.relname, '  ' || replace(pg_get_indexdef(x.indexrelid), 'reglaze.', '') from pg_index x join pg_class c on c.oid = x.indrelid join pg_class i on i.oid = x.indexrelid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'reglaze' and not exists (select 1 from pg_constraint k where k.conindid = x.indexrelid)
  union all
  select c.relname, 4, g.tgname, '  ' || replace(pg_get_triggerdef(g.oid), 'reglaze.', '') from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'reglaze' and not g.tgisinternal`
const OTHER = sql<Line>`
  select 'view ' || viewname as owner, definition as line from pg_views where schemaname = 'reglaze'
  union all
  select format('function %s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'reglaze'`

test('SQL schema after all migrations', async () => {
  const { rows } = await sql<Line>`select owner, line from (${TABLES}) as t (owner, kind, place, line) order by owner, kind, case when kind = 1 then lpad(place, 4, '0') else place end collate "C"`.execute(t.store.db)
  const tables = new Map<string, string[]>()
  // Newer versions of PostgreSQL list "not null" once more as a constraint.
  for (const r of rows) if (!/^ {2}constraint \S+ NOT NULL/i.test(r.line)) tables.set(r.owner, [...(tables.get(r.owner) ?? []), r.line])
  const { rows: other } = await sql<Line>`select owner, line from (${OTHER}) o order by owner collate "C"`.execute(t.store.db)
  const text = [
    '-- The schema that all migrations together make, as PostgreSQL describes it. Written by `npm run golden`.',
    ...[...tables].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, lines]) => `table ${name}\n${lines.join('\n')}`),
    ...other.map((o) => `${o.owner}\n${o.line.trimEnd().replace(/^/gm, '  ').replace(/[ \t]+$/gm, '')}`),
  ]
  await expect(`${text.join('\n\n')}\n`).toMatchFileSnapshot('./schema.sql.txt')
})
