"""How every module gets its logger, which is one of txaio for Twisted.

txaio must know the framework before the first logger is made. `imgsvc/__init__.py` cannot tell it: to import Twisted
there would take a fifth of a second before the commands can handle Ctrl-C.
"""

import txaio

__all__ = ["make_logger"]

txaio.use_twisted()

make_logger = txaio.make_logger
"""Makes a logger named like the module that calls this."""
