import { defineErrors } from '../core/errors.ts'

/** Error codes of recordings and modifications. */
export const RECORD = defineErrors({
  RECORDING_EXISTS: { kind: 'conflict', about: 'The file of the recording is there already.', hint: 'Name another file; recordings are never overwritten.' },
  RECORDING_NOT_STARTED: { kind: 'outside', about: 'The terminal or the file of the recording could not be opened.', hint: 'Check the command, the folder and the free space, then start again.' },
  RECORDING_NOT_HERE: { kind: 'outside', about: 'This computer has no terminal that can be recorded: @replit/ruspty has builds for Linux x64 (glibc) and macOS only.', hint: 'Install without `--omit=optional`, or record on Linux x64 (glibc) or macOS; everything else works here.' },
  RECORDING_BROKEN: { kind: 'no', about: 'The recording does not verify: its hash chain breaks at the place named.', hint: 'Keep the file as it is and compare with the copy on the server.' },
  RECORDING_LIVE: { kind: 'conflict', about: 'The recorder of this file still runs.', hint: 'End that terminal first.' },
  RECORDING_OFFSET: { kind: 'conflict', about: 'An uploaded part does not continue what the server has.', hint: 'Ask for the recording, continue at the size that it names.' },
  RECORDING_PART: { kind: 'invalid', about: 'An uploaded part does not have the SHA-256 that came with it.', hint: 'Send the part again.' },
  RECORDING_CLOSED: { kind: 'conflict', about: 'The recording is closed; nothing can be added.', hint: 'Start a new recording.' },
  DRIVER_TIMEOUT: { kind: 'outside', about: 'A command typed into a recorded terminal did not finish in time.', hint: 'Look at the recording; type the command by hand.' },
  MODIFICATION_EXPLAINED: { kind: 'conflict', about: 'The modification needs no explanation: it is attributed, or explained already.', hint: 'Look at it with `reglaze record modifications`.' },
})
