"""`python -m imgsvc.client` is the `imgsvc` command."""

from imgsvc.client.command import main

main(prog_name="imgsvc")
