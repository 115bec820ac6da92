"""Clients of other projects, with the real daemon."""
