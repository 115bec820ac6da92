"""`python -m imgsvc.client` is the `imgsvc` command."""

from imgsvc.interrupts import end_on_interrupt

end_on_interrupt()

from imgsvc.client.command import main  # noqa: E402  # Ctrl-C is handled while this is imported

main(prog_name="imgsvc")
