"""Identity by the tokens of Keystone, OpenStack's identity service."""
