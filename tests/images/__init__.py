"""Real disk images through the real daemon."""
