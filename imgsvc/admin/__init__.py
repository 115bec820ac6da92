"""The `imgsvc-admin` command: what an operator does beside running the daemon."""
