"""Where the certificates are that signatures of images are checked with."""
