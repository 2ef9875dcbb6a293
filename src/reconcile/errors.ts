import { defineErrors } from '../core/errors.ts'

/** Error codes of comparing, codifying, applying and proving. */
export const RECONCILE = defineErrors({
  RECONCILE_NOT_A_DIRECTORY: { kind: 'invalid', about: 'The folder given is not a Terraform root module.', hint: 'Name the folder that holds the .tf files you run `terraform plan` in.' },
  RECONCILE_NO_STATE: { kind: 'invalid', about: 'The workspace has no state: there is nothing to compare the code with.', hint: 'Check backend and workspace (`terraform workspace show`); after a first apply there is a state.' },
  RECONCILE_NO_GIT: { kind: 'invalid', about: 'The folder is not in a git repository with a commit.', hint: 'Commit the code to git first; a reviewed change and a proof need a commit.' },
  RECONCILE_DIRTY: { kind: 'conflict', about: 'Files that have to be edited carry changes that are not committed.', hint: 'Commit or discard them, then run it again.' },
  RECONCILE_UNKNOWN_DECISION: { kind: 'invalid', about: 'A decision names an address or attribute without a difference.', hint: 'Run `reglaze reconcile check` and decide about what it lists.' },
  RECONCILE_WOULD_CHANGE: { kind: 'conflict', about: 'The edited code would change something that nobody decided about.', hint: 'Decide about the addresses named, or make the edit by hand.' },
  WOULD_DESTROY: { kind: 'refused', about: 'The plan would destroy something. Reglaze never applies such a plan.', hint: 'Look at the addresses named. If it is really wanted, a person applies it with Terraform, with a second person looking.' },
  RECONCILE_UNDECIDED: { kind: 'conflict', about: 'The plan would do something that no decision covers.', hint: 'Decide about the addresses named (`reglaze reconcile decide`), then apply again.' },
  RECONCILE_PLAN_FAILED: { kind: 'outside', about: 'Terraform can make no complete plan.', hint: 'Remove the error at the place named; codify what it complains about.' },
  RECONCILE_GIT_FAILED: { kind: 'outside', about: 'git ended with an error.', hint: 'Read its message; the working tree is as it was.' },
})
