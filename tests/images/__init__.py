"""Real disk images with the real daemon."""
