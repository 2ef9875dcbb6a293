output "endpoint" {
  value = sandbox_database.this.endpoint
}
