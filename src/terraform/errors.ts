import { defineErrors } from '../core/errors.ts'

/** Error codes of reading Terraform's language and documents and of running its program. */
export const TERRAFORM = defineErrors({
  HCL_SYNTAX: { kind: 'invalid', about: 'A Terraform file can not be read.', hint: 'Correct the file at the place named; `terraform validate` shows the same place.' },
  HCL_NOT_EDITABLE: { kind: 'conflict', about: 'An edit of Terraform code was refused because it could not be undone exactly.', hint: 'Put the item on lines of its own, or make the edit by hand.' },
  HCL_MARKER_TOUCHED: { kind: 'conflict', about: 'A region of code between Reglaze markers was edited by hand.', hint: 'Restore the lines between the `reglaze:` markers from git, or finish by hand and remove the markers.' },
  TERRAFORM_ADDRESS: { kind: 'invalid', about: 'A text is not the address of a Terraform resource.', hint: 'Write it as Terraform prints it, e.g. module.app["eu"].sandbox_instance.web[0].' },
  TERRAFORM_DOCUMENT: { kind: 'invalid', about: 'A JSON document of Terraform does not have the expected shape.', hint: 'Make it with `terraform show -json` or `terraform state pull` of a supported version.' },
  TERRAFORM_MISSING: { kind: 'invalid', about: 'Neither terraform nor tofu was found.', hint: 'Install Terraform ≥ 1.5 (https://developer.hashicorp.com/terraform/install) or OpenTofu (https://opentofu.org/docs/intro/install), or set REGLAZE_TERRAFORM to the binary.' },
  TERRAFORM_TOO_OLD: { kind: 'invalid', about: 'The Terraform found is older than 1.5, which has no import blocks.', hint: 'Install Terraform ≥ 1.5 or OpenTofu, or set REGLAZE_TERRAFORM to a newer binary.' },
  TERRAFORM_FAILED: { kind: 'outside', about: 'Terraform ended with an error.', hint: 'Read its diagnostics at the place named.' },
  TERRAFORM_LOCKED: { kind: 'conflict', about: 'The Terraform state is locked by somebody else.', hint: 'Wait for the holder named, or ask them; Reglaze never breaks a lock.', retryable: true },
  TERRAFORM_TIMEOUT: { kind: 'unknown-outcome', about: 'Terraform did not end within its deadline and was stopped.', hint: 'Look at the state before running it again; raise the deadline if the workspace is large.' },
  TERRAFORM_STOPPED: { kind: 'unknown-outcome', about: 'Terraform was stopped because the caller asked for it.', hint: 'Look at the state before running it again.' },
})
