variable "name" {
  type = string
}

variable "engine_version" {
  type = string
}

variable "parameter_group" {
  type = string
}

variable "storage_gb" {
  type = number
}

variable "password" {
  type      = string
  sensitive = true
}

variable "tags" {
  type = map(string)
}
