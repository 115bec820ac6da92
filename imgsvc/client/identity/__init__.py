"""Who asks: what a client logs in with, where the settings for it are read, and the headers of its requests."""
