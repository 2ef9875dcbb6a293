import { defineErrors } from '../core/errors.ts'

export const STORE = defineErrors({
  STORE_NO_POSTGRES: { kind: 'invalid', about: 'No usable PostgreSQL programs were found for the embedded database.', hint: 'Install PostgreSQL 14 or newer (Debian: apt-get install postgresql), set REGLAZE_PG_BIN to its bin folder, or set DATABASE_URL.' },
  STORE_VERSION_MISMATCH: { kind: 'invalid', about: 'The data folder was made by another major version of PostgreSQL than the programs found.', hint: 'Install that version or set REGLAZE_PG_BIN to its bin folder; or start with a new data folder and restore a backup.' },
  STORE_START_FAILED: { kind: 'outside', about: 'The embedded PostgreSQL did not start.', hint: 'Read the end of the PostgreSQL log that the message names.', retryable: true },
  STORE_UNREACHABLE: { kind: 'outside', about: 'The database did not answer.', hint: 'Check DATABASE_URL, and that the database accepts connections from here.', retryable: true },
  STORE_TOO_OLD: { kind: 'invalid', about: 'The database server is older than PostgreSQL 14.', hint: 'Use PostgreSQL 14 or newer.' },
  STORE_NEWER_SCHEMA: { kind: 'conflict', about: 'The database was already used by a newer release of Reglaze.', hint: 'Start the newer release; a schema is never taken back. To go back, restore a backup made by the older release.' },
  STORE_MIGRATION_FAILED: { kind: 'outside', about: 'A schema migration failed; nothing of it was kept.', hint: 'Read the cause; the next start tries again.', retryable: true },
  STORE_TEST_CLOCK: { kind: 'refused', about: 'The database has a movable clock, which exists only for tests.', hint: 'Use another database: this one was made by a test.' },
  STORE_TRANSITION_REFUSED: { kind: 'conflict', about: 'The state cannot change that way: it is not in the table of transitions.', hint: 'Look at its current state first; a final state never changes.' },
  STORE_RUNTIME_FOLDER: { kind: 'invalid', about: 'No private folder was found for the database socket.', hint: 'Set REGLAZE_RUNTIME_DIR to a short path (under 80 bytes) of a folder that belongs to you.' },
  STORE_BACKUP_INVALID: { kind: 'invalid', about: 'The backup file is torn, was edited, or is none.', hint: 'Use another copy of the backup; nothing was changed.' },
  STORE_NOT_EMPTY: { kind: 'conflict', about: 'A backup is restored only into an empty database.', hint: 'Use a new data folder or an empty database.' },
  STORE_MOVE_MISMATCH: { kind: 'conflict', about: 'After the move, source and target do not hold the same rows.', hint: 'Stop every server that uses the source, then move again into an empty database.' },
})
