# Production of Tailwind Traders.
# Address and credentials of the state come from TF_HTTP_*, those of the cloud from SANDBOX_*: none are in the code.
terraform {
  required_version = ">= 1.5"

  required_providers {
    sandbox = {
      source  = "sandbox.test/cloud/sandbox"
      version = "1.0.0"
    }
  }

  backend "http" {}
}

provider "sandbox" {}

module "orders_db" {
  source = "./modules/database"

  name            = "orders"
  engine_version  = var.orders_engine_version
  parameter_group = var.orders_parameter_group
  storage_gb      = 100
  password        = var.orders_password
  tags            = local.tags
}

module "web" {
  source = "./modules/web"

  instances = var.web_instances
  image     = "tailwind-web-2026.10"
  subnet    = "10.20.0.0/24"
  tags      = merge(local.tags, { group = "web" })
}

# The one machine that every order passes: nobody wants to lose its disk.
resource "sandbox_instance" "gateway" {
  name   = "gateway"
  image  = "tailwind-gateway-2026.02"
  size   = "large"
  subnet = "10.20.0.0/24"
  tags   = merge(local.tags, { group = "web" })
  labels = ["payment", "shop"]

  disk {
    device  = "/dev/sda"
    size_gb = 80
  }
}

# Only the edge may talk to the shop.
resource "sandbox_firewall" "edge" {
  name = "edge"

  rule {
    port     = 443
    protocol = "tcp"
    source   = "0.0.0.0/0"
  }

  rule {
    port     = 22
    protocol = "tcp"
    source   = "10.0.0.0/8" # bastion only
  }
}

# The network of a partner who left in spring.
resource "sandbox_firewall" "partner" {
  name = "partner"

  rule {
    port     = 8443
    protocol = "tcp"
    source   = "198.51.100.0/24"
  }
}

locals {
  tags = {
    owner       = "storefront"
    environment = "production"
  }
}
