"""The clients that people use, against the real daemon."""
