"""Tells operators and other programs of events: the audit, and notifications."""
