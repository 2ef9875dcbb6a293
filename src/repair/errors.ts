import { defineErrors } from '../core/errors.ts'

/** Error codes of quarantine, release and replace. */
export const REPAIR = defineErrors({
  REPAIR_NO_CODE: { kind: 'not-found', about: 'No code of this repository declares the resource.', hint: 'Check the address (`terraform state list`); the code of a module from elsewhere can not be edited here.' },
  REPAIR_NO_STATE: { kind: 'not-found', about: 'The state does not know the resource.', hint: 'Check the address (`terraform state list`) and the workspace.' },
  REPAIR_ALREADY: { kind: 'conflict', about: 'The resource is quarantined already, in another way or for another incident.', hint: 'Release it first: `reglaze repair release DIR ADDRESS`.' },
  REPAIR_NOT_QUARANTINED: { kind: 'not-found', about: 'The resource is not quarantined here.', hint: '`reglaze repair list DIR` shows what is.' },
  REPAIR_HAS_DEPENDENTS: { kind: 'conflict', about: 'Other code refers to the resource; without it, it would not evaluate.', hint: 'Use the soft kind, which leaves the code in place.' },
  REPAIR_SHARED_CODE: { kind: 'conflict', about: 'The same code makes other objects too.', hint: 'Use the soft kind; for a single instance, hold the workspace instead.' },
  REPAIR_NOT_QUIET: { kind: 'conflict', about: 'After the quarantine a plan would still change the resource; it was rolled back.', hint: 'Read what the plan would do; pause the automation and repair under the hold instead.' },
  REPAIR_WOULD_CHANGE: { kind: 'conflict', about: 'The plan would do more than the repair step is about; nothing was applied.', hint: 'Codify or revert the differences named first, or accept them with the option for it.' },
  REPAIR_WOULD_DESTROY: { kind: 'refused', about: 'The plan would destroy something that nobody asked for; nothing was applied.', hint: 'Look at the addresses named; do this by hand, with a second person, if it is really wanted.' },
  REPAIR_OTHER_OBJECT: { kind: 'conflict', about: 'The object now at this address is not the one that was quarantined.', hint: 'Compare both ids at the cloud before going on.' },
  REPAIR_STATE_MOVED: { kind: 'conflict', about: 'Somebody else wrote the state in between.', hint: 'Look at both states; the saved copy is named. Nothing was overwritten.' },
  REPAIR_INVALID: { kind: 'conflict', about: 'The code would not be valid without the resource.', hint: 'Use the soft kind, or remove the references that the message names.' },
})
