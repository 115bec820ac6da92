"""Where the bytes of images are kept: one module for each kind of store."""
