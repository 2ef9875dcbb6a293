import { expect, test } from 'vitest'
import { changingState, defineTransitions, isTransitionRefused, sortedPairs, sql, storedPairs } from './index.ts'
import { useTestStore } from './testing/index.ts'

const t = useTestStore()
const life = defineTransitions('doors', 'state', [[null, 'closed'], ['closed', 'open'], ['open', 'closed'], ['open', 'broken']])
const make = async (): Promise<void> => {
  await sql.raw(`create table reglaze.doors (id int primary key, state text not null, note text); ${life.sql}`).execute(t.store.db)
}
const set = (state: string) => sql`update reglaze.doors set state = ${state} where id = 1`.execute(t.store.db)

test('the model knows what it allows', () => {
  expect(life.terminal).toEqual(['broken'])
  expect(life.initial).toEqual(['closed'])
  expect([life.allows(null, 'closed'), life.allows('closed', 'broken'), life.allows('open', 'broken')]).toEqual([true, false, true])
  expect(() => defineTransitions('x', 'state', [['a', 'b']])).toThrow(/begins/)
  expect(() => defineTransitions("x'; drop", 'state', [[null, 'b']])).toThrow(/plain SQL name/)
})

test('the database lets listed changes pass and refuses all others, whoever writes', async () => {
  await make()
  expect(await storedPairs(t.store.db, life)).toEqual(sortedPairs(life))
  await expect(sql`insert into reglaze.doors values (2, 'open', '')`.execute(t.store.db)).rejects.toSatisfy((e) => isTransitionRefused(e, life))
  await sql`insert into reglaze.doors values (1, 'closed', '')`.execute(t.store.db)
  await expect(set('broken')).rejects.toSatisfy(isTransitionRefused)
  await expect(set('painted')).rejects.toSatisfy(isTransitionRefused)
  await set('open')
  await sql`update reglaze.doors set note = 'x' where id = 1`.execute(t.store.db)
  await set('open')
  await sql`update reglaze.doors set prev_state = 'closed' where id = 1`.execute(t.store.db)
  await set('broken')
  for (const state of ['open', 'closed']) await expect(set(state)).rejects.toSatisfy(isTransitionRefused)
  await sql`update reglaze.doors set note = 'still writable' where id = 1`.execute(t.store.db)
  await expect(sql`update reglaze.doors set state = 'closed', prev_state = 'open' where id = 1`.execute(t.store.db)).rejects.toSatisfy(isTransitionRefused)
  await expect(changingState(life, 'door 1', () => set('open'))).rejects.toMatchObject({ code: 'STORE_TRANSITION_REFUSED' })
})
