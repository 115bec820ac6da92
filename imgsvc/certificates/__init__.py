"""Providers of the certificates that image signatures are verified with."""
