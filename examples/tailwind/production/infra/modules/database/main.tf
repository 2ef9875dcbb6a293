# What is really there, whoever changed it.
data "sandbox_database" "check" {
  name = var.name
}

resource "sandbox_database" "this" {
  name                = var.name
  engine              = "postgres"
  engine_version      = var.engine_version
  parameter_group     = var.parameter_group
  instance_class      = "db.large"
  storage_gb          = var.storage_gb
  deletion_protection = true
  password            = var.password
  tags                = var.tags

  lifecycle {
    precondition {
      condition     = !data.sandbox_database.check.exists || split(".", coalesce(data.sandbox_database.check.engine_version, var.engine_version))[0] == split(".", var.engine_version)[0]
      error_message = "The database runs another major version than the code says: test and upgrade the database separately for major version upgrades."
    }
  }
}
