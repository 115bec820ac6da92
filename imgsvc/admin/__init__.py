"""The `imgsvc-admin` command: tasks of an operator other than running the daemon."""
