"""Makes the loggers of all modules, which are txaio's loggers for Twisted.

txaio must know the framework before the first logger is made. `imgsvc/__init__.py` is not the place for that, because
importing Twisted there would take a fifth of a second before the commands can handle Ctrl-C.
"""

import txaio

__all__ = ["make_logger"]

txaio.use_twisted()

make_logger = txaio.make_logger
"""Makes a logger with the name of the calling module."""
