import { defineErrors } from '../core/index.ts'

export const PAUSE = defineErrors({
  NOTHING_TO_PAUSE: { kind: 'invalid', about: 'The configuration names no automation that acts on the service.', hint: 'Add the automation to reglaze.yaml, or name it with --automation.' },
  RESUME_REFUSED: { kind: 'conflict', about: 'Automation is not given back while code, state and reality are not proven equal.', hint: 'Run `reglaze reconcile prove DIR --incident INC`, then resume again.' },
})
