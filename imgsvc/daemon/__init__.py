"""What makes a daemon of the other packages: it wires them, and starts, reloads and stops the processes that serve."""
