import { defineErrors } from '../core/index.ts'

export const CONFIG = defineErrors({
  CONFIG_INVALID: { kind: 'invalid', about: 'A configuration file has a mistake; nothing was changed.', hint: 'Correct the places that are named, then run `reglaze config check`.' },
  CONFIG_UNREADABLE: { kind: 'invalid', about: 'A configuration file or folder cannot be read.', hint: 'Give the path of reglaze.yaml or of a folder of .yaml files.' },
  SECRET_MISSING: { kind: 'invalid', about: 'A secret that the configuration refers to is not there.', hint: 'Set the environment variable or write the file that the reference names.' },
  CONFIG_IN_USE: { kind: 'conflict', about: 'The new configuration removes something that live grants or holds still need.', hint: 'End the grants and holds that are listed, then apply again.' },
  CONFIG_STALE: { kind: 'conflict', about: 'Somebody applied another version meanwhile.', hint: 'Run `reglaze config plan` again and look at the difference.' },
})
