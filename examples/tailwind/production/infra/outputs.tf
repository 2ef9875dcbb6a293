output "orders_endpoint" {
  value = module.orders_db.endpoint
}

output "web_ids" {
  value = module.web.ids
}
