output "ids" {
  value = { for name, vm in sandbox_instance.this : name => vm.id }
}
