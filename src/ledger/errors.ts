import { defineErrors } from '../core/errors.ts'

export const LEDGER = defineErrors({
  LEDGER_ENTRY_TOO_LARGE: { kind: 'invalid', about: 'A ledger entry has more than 65,535 bytes.', hint: 'Keep the large part elsewhere and record its digest.' },
  LEDGER_KEY_MISSING: { kind: 'invalid', about: 'The ledger was signed with a key that this process does not have.', hint: 'Copy ledger-key.pem from the key folder of the server that signed it, mode 0600.' },
  LEDGER_KEY_UNSAFE: { kind: 'invalid', about: 'The key file of the ledger can be read by others, or is no Ed25519 key.', hint: 'chmod 600 the file; if others had read it, treat the key as lost.' },
  LEDGER_INCONSISTENT: { kind: 'conflict', about: 'The ledger in the database does not continue what was signed before; nothing more is signed.', hint: 'Compare with the checkpoints kept elsewhere. If the database was changed, restore a backup; if its last commits were lost, begin a new epoch: `reglaze ledger begin-epoch --reason …`.' },
  LEDGER_NOT_THERE: { kind: 'not-found', about: 'The ledger has no such entry or size.', hint: 'Wait for the next checkpoint, or ask for a smaller one.' },
  LEDGER_NOTE_INVALID: { kind: 'invalid', about: 'The text is no signed checkpoint or no verifier key.', hint: 'Give the file as Reglaze wrote it, unchanged.' },
  LEDGER_ANCHOR_MISSING: { kind: 'invalid', about: 'A certificate cannot vouch for itself.', hint: 'Give a public key (--key) or an earlier checkpoint (--checkpoint) that you did not get from the certificate.' },
})
