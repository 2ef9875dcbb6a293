terraform {
  required_providers {
    sandbox = {
      source = "sandbox.test/cloud/sandbox"
    }
  }
}
