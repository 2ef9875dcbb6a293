import { sql } from 'kysely'
import { ReglazeError } from '../core/errors.ts'
import { sqlState } from './connect.ts'
import type { Db, Tx } from './connect.ts'
import { STORE } from './errors.ts'

/** One allowed change of state; `null` first = a row may begin in the second. */
export type Pair<S extends string = string> = readonly [from: S | null, to: S]

export interface Transitions<S extends string = string> {
  readonly table: string
  readonly column: string
  readonly pairs: readonly Pair<S>[]
  /** States that nothing leaves. */
  readonly terminal: readonly S[]
  /** States a row may begin in. */
  readonly initial: readonly S[]
  allows(from: S | null, to: S): boolean
  /** For the migration that creates the table, after its `create table`. */
  readonly sql: string
}

const NAME = /^[a-z][a-z0-9_]*$/

/**
 * A life cycle as data (DESIGN §3). `table` is without its schema; it must have `column text not null`. The SQL adds the
 * column `prev_<column>`, kept by a trigger, and a foreign key (prev, now) → `<table>_transitions`: whoever writes, only
 * the listed pairs pass. Pure but for its text.
 */
export function defineTransitions<S extends string>(table: string, column: string, pairs: readonly Pair<S>[]): Transitions<S> {
  const states = [...new Set(pairs.flatMap(([from, to]) => (from === null ? [to] : [from, to])))]
  for (const text of [table, column, ...states]) if (!NAME.test(text)) throw new TypeError(`"${text}" is not a plain SQL name`)
  if (!pairs.some(([from]) => from === null)) throw new TypeError(`${table}.${column}: no pair says how a row begins`)
  const keys = new Set(pairs.map(([from, to]) => `${from ?? ''}>${to}`))
  return {
    table, column, pairs,
    terminal: states.filter((s) => !pairs.some(([from]) => from === s)),
    initial: pairs.filter(([from]) => from === null).map(([, to]) => to),
    allows: (from, to) => keys.has(`${from ?? ''}>${to}`),
    sql: transitionSql(table, column, pairs),
  }
}

function transitionSql(table: string, column: string, pairs: readonly Pair[]): string {
  const name = `${table}_transitions`
  const rows = pairs.map(([from, to]) => `('${from ?? ''}', '${to}')`).join(',\n  ')
  return `
create table reglaze.${name} (from_state text not null, to_state text not null, primary key (from_state, to_state));
insert into reglaze.${name} (from_state, to_state) values
  ${rows};
alter table reglaze.${table} add column prev_${column} text not null default '';
create function reglaze.${table}_${column}_step() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    new.prev_${column} := '';
  elsif new.${column} is distinct from old.${column} then
    new.prev_${column} := old.${column};
  else
    new.prev_${column} := old.prev_${column};
  end if;
  return new;
end $$;
create trigger ${table}_${column}_step before insert or update on reglaze.${table}
  for each row execute function reglaze.${table}_${column}_step();
alter table reglaze.${table} add constraint ${table}_${column}_transition
  foreign key (prev_${column}, ${column}) references reglaze.${name} (from_state, to_state);
`
}

/** The pairs that the database holds, sorted; a test compares them with the model's (`sortedPairs`). */
export async function storedPairs(db: Db | Tx, t: Transitions): Promise<string[]> {
  const { rows } = await sql<{ from_state: string; to_state: string }>`select from_state, to_state from ${sql.table(`reglaze.${t.table}_transitions`)}`.execute(db)
  return rows.map((r) => `${r.from_state}>${r.to_state}`).sort()
}
export function sortedPairs(t: Transitions): string[] {
  return t.pairs.map(([from, to]) => `${from ?? ''}>${to}`).sort()
}

/** Whether the database refused a change of state because its pair is not listed. */
export function isTransitionRefused(error: unknown, t?: Transitions): boolean {
  const constraint = String((error as { constraint?: unknown } | null)?.constraint ?? '')
  return sqlState(error) === '23503' && (t === undefined ? constraint.endsWith('_transition') : constraint === `${t.table}_${t.column}_transition`)
}

/** Runs a change of state; the database's refusal becomes STORE_TRANSITION_REFUSED. */
export async function changingState<T>(t: Transitions, what: string, change: () => Promise<T>): Promise<T> {
  try {
    return await change()
  } catch (error) {
    if (!isTransitionRefused(error, t)) throw error
    throw new ReglazeError(STORE.STORE_TRANSITION_REFUSED, `${what}: ${t.table}.${t.column} cannot change that way`, { cause: error })
  }
}
