"""What can go wrong, in the domain's words. `web/errors.py` says which HTTP status each of them is."""

from __future__ import annotations


class ImgsvcError(Exception):
    """The root of all errors of the domain. `str()` of one is a sentence for the client."""


# --- the request


class Invalid(ImgsvcError):
    """A value in the request is not what it must be."""


class SizeMismatch(Invalid):
    """More or fewer bytes came than were announced."""

    def __init__(self, image_id: str, expected: int, received: int) -> None:
        super().__init__(f"Image {image_id}: {expected} bytes were announced, {received} received.")


class DigestMismatch(Invalid):
    """The bytes received do not have the digest that the client gave."""


class BadSignature(Invalid):
    """The image's signature does not fit its bytes, or cannot be checked."""


class NoSuchCertificate(BadSignature):
    """The certificate that an image's signature names does not exist."""

    def __init__(self, certificate_id: str) -> None:
        super().__init__(f"there is no certificate {certificate_id}.")


class CertificatesUnavailable(ImgsvcError):
    """What keeps the certificates does not answer now, or with a fault of its own."""


class HeaderTooLarge(ImgsvcError):
    """A header of the request is longer than it may be."""


class UnknownStore(Invalid):
    """The request names a store that does not exist or that takes no images."""

    def __init__(self, store_id: str, known: tuple[str, ...]) -> None:
        super().__init__(f"There is no store {store_id!r}: the stores are {', '.join(known)}.")


class UrlRefused(Invalid):
    """The server does not ask for what a URL names. why: what is wrong with it."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The URL is refused: {why}.")
        self.why = why


class Unauthenticated(ImgsvcError):
    """The request carries no valid identity."""


class Forbidden(ImgsvcError):
    """The caller may see the thing, but may not do this with it."""


class NotPermitted(Forbidden):
    """The policy does not let the caller do it. action: the name of its rule."""

    def __init__(self, action: str) -> None:
        super().__init__(f"You are not permitted to {action.replace('_', ' ')} (policy: {action}).")


class UnsupportedType(ImgsvcError):
    """The Content-Type of the request is not one that the route takes."""


class FormatMismatch(ImgsvcError):
    """The bytes are not in the declared disk format, or fail that format's safety checks."""


class BodyTooLarge(ImgsvcError):
    """The body of a request is longer than the route takes."""


class BodyCut(ImgsvcError):
    """The body ended before it was whole: the client is gone or too slow."""


class BodyMalformed(Invalid):
    """The framing of the body is broken."""


class PreconditionFailed(ImgsvcError):
    """The image is not as the client wants it to be for the request."""


class RangeNotSatisfiable(ImgsvcError):
    """No byte of the image is in the range that was asked for. size: of the whole image, bytes."""

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


# --- the catalogue


class NoSuchImage(ImgsvcError):
    """No image of that id exists, or the caller may not see it."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"No image found with ID {image_id}.")
        self.image_id = image_id


class NotFound(ImgsvcError):
    """The thing, not an image, does not exist."""


class ImageExists(ImgsvcError):
    """The id is taken, perhaps by a deleted image."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image ID {image_id} already exists.")


class WrongStatus(ImgsvcError):
    """The image is not in a status from which this can be done."""

    def __init__(self, image_id: str, status: str, wanted: str) -> None:
        super().__init__(f"Image {image_id} is {status}: {wanted}.")
        self.status = status


class ImageChanged(ImgsvcError):
    """The image was changed by another request between its reading and its writing: to be read again."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image {image_id} was changed by another request at the same time.")


class Conflict(ImgsvcError):
    """What is asked for does not go together with what is there."""


class NamespaceChanged(Conflict):
    """A namespace of metadata definitions was changed between its reading and its writing: to be read again."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Namespace {name!r} was changed by another request at the same time.")


class LeaseLost(ImgsvcError):
    """The upload no longer holds its image: its lease ran out, or the image was deleted."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image {image_id} was deleted, or taken from this upload, while its bytes arrived.")


class CatalogueUnavailable(ImgsvcError):
    """The database cannot answer now: locked, out of space, unreachable."""


# --- tasks


class TaskStalled(ImgsvcError):
    """A task has come no further for too long."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id}: no progress for too long.")


class TaskCancelled(ImgsvcError):
    """Somebody has asked for the end of a task."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id} was cancelled.")


# --- limits


class TooLarge(ImgsvcError):
    """More bytes than the size cap or the owner's quota allows."""


class QuotaExceeded(ImgsvcError):
    """More things (tags, properties, ...) than the quota allows."""


class Overloaded(ImgsvcError):
    """There is no room now for what is asked for; there will be when others have ended."""


# --- stores


class StoreError(ImgsvcError):
    """A store could not do what was asked of it. store_id says which one."""

    def __init__(self, store_id: str, message: str) -> None:
        super().__init__(f"Store {store_id}: {message}")
        self.store_id = store_id


class StoreFull(StoreError):
    """No space, no inode, over the medium's quota, or larger than its file system takes."""


class StoreWriteDenied(StoreError):
    """The medium refuses to be written: permissions, read-only."""


class StoreForbidden(StoreError):
    """The store refuses to let go of an object."""


class StoreUnavailable(StoreError):
    """The store does not answer, or answered with a fault of its own."""


class StoreAway(StoreUnavailable):
    """The store's medium is not there, or is not the store's own: what is in the store is away, and not gone."""


class StoreReadOnly(StoreError):
    """The store takes no images at all."""


class PartUnavailable(StoreError):
    """The store can give the object as a whole only."""


class ObjectExists(StoreError):
    """The store already holds an object under that name, and it is not a stale one."""


class ObjectMissing(StoreError):
    """The object is not in the store."""


class ObjectDamaged(StoreError):
    """The object is not as large as the catalogue says."""


class ObjectInUse(StoreError):
    """The object is held by a clone, a snapshot, another client, or an upload that is at work on it."""


class DataMissing(ImgsvcError):
    """The image has data, and no store has them."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image {image_id}: its data are missing from the store.")


# --- other servers


class RemoteUnavailable(ImgsvcError):
    """A server that a client has named does not answer, or not as it must."""


class ServiceUnavailable(ImgsvcError):
    """A service that the operator has configured does not answer, or not as it must. service: its name."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(reason)
        self.service = service


class ServiceAnswerTooLarge(ServiceUnavailable):
    """A service has answered more than is read of it."""


# --- start


class ConfigurationError(ImgsvcError):
    """The configuration cannot be used: key path, value, what is allowed."""
