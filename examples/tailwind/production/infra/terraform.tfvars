# The orders database. Reviewed by platform.
orders_engine_version  = "13.11"
orders_parameter_group = "default.postgres13"

# The shop.
web_instances = {
  web-1 = { size = "medium" }
  web-2 = { size = "medium" }
  web-3 = { size = "medium" }
}
