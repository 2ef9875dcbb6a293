variable "orders_engine_version" {
  type        = string
  description = "Major upgrades are tested and done separately, see modules/database."
}

variable "orders_parameter_group" {
  type = string
}

variable "orders_password" {
  type      = string
  sensitive = true
}

variable "web_instances" {
  type        = map(object({ size = string }))
  description = "One virtual machine per key."
}
