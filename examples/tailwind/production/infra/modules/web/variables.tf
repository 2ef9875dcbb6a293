variable "instances" {
  type = map(object({ size = string }))
}

variable "image" {
  type = string
}

variable "subnet" {
  type = string
}

variable "tags" {
  type = map(string)
}
