"""What goes on when nobody waits for it."""
