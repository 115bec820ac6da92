"""Turns errors of the operating system into errors of the domain."""

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
    """Return the error for a failed open, write, sync, link or close of a file that is written."""
    if error.errno in _FULL:
        return _fault(StoreFull, store_id, action, path, error)
    return _fault(StoreWriteDenied if error.errno in _DENIED else StoreUnavailable, store_id, action, path, error)


def read_fault(store_id: str, action: str, path: str, error: OSError) -> StoreError:
    """Return the error for a failed open, stat or read."""
    return _fault(ObjectMissing if error.errno == ENOENT else StoreUnavailable, store_id, action, path, error)


def delete_fault(store_id: str, action: str, path: str, error: OSError) -> StoreError:
    """Return the error for a failed unlink."""
    if error.errno == ENOENT:
        return _fault(ObjectMissing, store_id, action, path, error)
    return _fault(StoreForbidden if error.errno in _DENIED else StoreUnavailable, store_id, action, path, error)


def _fault(kind: type[StoreError], store_id: str, action: str, path: str, error: OSError) -> StoreError:
    """Log the path, which only the operator may see, and return the error."""
    code = errorcode.get(error.errno or 0, "an unknown error")
    log.warn("Store {store}: cannot {action} {path}: {code}", store=store_id, action=action, path=path, code=code)
    return kind(store_id, f"cannot {action} the object: {code}.")
