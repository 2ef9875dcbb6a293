resource "sandbox_instance" "this" {
  for_each = var.instances

  name   = each.key
  image  = var.image
  size   = each.value.size
  subnet = var.subnet
  tags   = merge(var.tags, { Name = each.key })
  labels = ["shop", "public"]

  user_data = "#!/bin/sh\n"

  policy = jsonencode({
    Version = "1"
    Statement = [
      { Effect = "Allow", Action = ["logs:write"], Resource = "*" },
    ]
  })

  disk {
    device  = "/dev/sda"
    size_gb = 40
  }

  disk {
    device  = "/dev/sdb"
    size_gb = 200
  }

  lifecycle {
    # First-boot scripts are tried out on the machines.
    ignore_changes = [user_data]
  }
}
