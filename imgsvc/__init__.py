"""imgsvc: a server for disk images that speaks the OpenStack Image API v2."""

__version__ = "0.1.0"
