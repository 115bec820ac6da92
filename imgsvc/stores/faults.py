"""What an error of the operating system means for an image."""

from __future__ import annotations

from errno import EACCES, EDQUOT, EFBIG, ENOENT, ENOSPC, EPERM, EROFS, errorcode
from typing import Final

from imgsvc.errors import (
    ObjectMissing,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreUnavailable,
    StoreWriteDenied,
)
from imgsvc.logger import make_logger

log = make_logger()

_FULL: Final = frozenset({ENOSPC, EDQUOT, EFBIG})
_DENIED: Final = frozenset({EACCES, EPERM, EROFS})


def write_fault(store_id: str, action: str, path: str, error: OSError) -> StoreError:
    """For open, write, sync, link and close on the way in."""
    if error.errno in _FULL:
        return _fault(StoreFull, store_id, action, path, error)
    return _fault(StoreWriteDenied if error.errno in _DENIED else StoreUnavailable, store_id, action, path, error)


def read_fault(store_id: str, action: str, path: str, error: OSError) -> StoreError:
    """For open, stat and read."""
    return _fault(ObjectMissing if error.errno == ENOENT else StoreUnavailable, store_id, action, path, error)


def delete_fault(store_id: str, action: str, path: str, error: OSError) -> StoreError:
    """For unlink."""
    if error.errno == ENOENT:
        return _fault(ObjectMissing, store_id, action, path, error)
    return _fault(StoreForbidden if error.errno in _DENIED else StoreUnavailable, store_id, action, path, error)


def _fault(kind: type[StoreError], store_id: str, action: str, path: str, error: OSError) -> StoreError:
    """Logs what only the operator should see: the path."""
    code = errorcode.get(error.errno or 0, "an unknown error")
    log.warn("Store {store}: cannot {action} {path}: {code}", store=store_id, action=action, path=path, code=code)
    return kind(store_id, f"cannot {action} the object: {code}.")
