"""imgsvc: a server for disk images that speaks the OpenStack Image API v2."""

import txaio

__version__ = "0.1.0"

# Every module makes its logger when it is imported; txaio must know by then whom to log through.
txaio.use_twisted()
