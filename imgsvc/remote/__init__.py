"""Requests to servers whose addresses come from clients: what may be asked for, and how it is read."""
