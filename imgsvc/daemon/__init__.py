"""The daemon: builds the objects of the other packages, and starts, reloads and stops the processes that serve."""
