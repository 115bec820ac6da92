"""The errors of the domain. `web/errors.py` maps each of them to an HTTP status."""

from __future__ import annotations


class ImgsvcError(Exception):
    """The base class of all errors of the domain. `str()` of an error is a sentence for the client.

    retry_after: whole seconds after which the client may try again (`Retry-After`); None: not known.
    """

    retry_after: int | None = None


# --- the request


class Invalid(ImgsvcError):
    """A value in the request is not valid."""


class SizeMismatch(Invalid):
    """The client sent more or fewer bytes than it announced."""

    def __init__(self, image_id: str, expected: int, received: int) -> None:
        super().__init__(f"Image {image_id}: {expected} bytes were announced, {received} received.")


class DigestMismatch(Invalid):
    """The received bytes do not have the digest that the client gave."""


class BadSignature(Invalid):
    """The signature of the image does not match its bytes, or cannot be verified."""


class NoSuchCertificate(BadSignature):
    """The certificate that the signature of an image names does not exist."""

    def __init__(self, certificate_id: str) -> None:
        super().__init__(f"there is no certificate {certificate_id}.")


class CertificatesUnavailable(ImgsvcError):
    """The provider of certificates does not answer, or answers with an error."""


class HeaderTooLarge(ImgsvcError):
    """A header of the request is too long."""


class UnknownStore(Invalid):
    """The request names a store that does not exist or that does not accept images."""

    def __init__(self, store_id: str, known: tuple[str, ...]) -> None:
        super().__init__(f"There is no store {store_id!r}: the stores are {', '.join(known)}.")


class UrlRefused(Invalid):
    """The server does not request a URL. why: the reason."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The URL is refused: {why}.")
        self.why = why


class Unauthenticated(ImgsvcError):
    """The request carries no valid identity."""


class TooManyAttempts(ImgsvcError):
    """Too many wrong passwords came from an address, or for a user. pause: seconds until another may be tried."""

    def __init__(self, pause: int) -> None:
        super().__init__(f"Too many wrong passwords, or too many at once: try again in {pause} s.")
        self.retry_after = pause


class Forbidden(ImgsvcError):
    """The caller may see the object, but may not do this with it."""


class NotPermitted(Forbidden):
    """The policy does not allow the action. action: the name of its rule."""

    def __init__(self, action: str) -> None:
        super().__init__(f"You are not permitted to {action.replace('_', ' ')} (policy: {action}).")


class UnsupportedType(ImgsvcError):
    """The route does not accept the Content-Type of the request."""


class FormatMismatch(ImgsvcError):
    """The bytes are not in the declared disk format, or fail that format's safety checks."""


class BodyTooLarge(ImgsvcError):
    """The body of a request is longer than the route accepts."""


class BodyCut(ImgsvcError):
    """The body ended before it was complete: the client is gone or too slow."""


class BodyMalformed(Invalid):
    """The framing of the body is broken."""


class PreconditionFailed(ImgsvcError):
    """A precondition of the request does not hold, such as If-Match."""


class RangeNotSatisfiable(ImgsvcError):
    """The requested range contains no byte of the image. size: of the whole image, in bytes."""

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


# --- the catalogue


class NoSuchImage(ImgsvcError):
    """There is no image with that id, or the caller may not see it."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"No image found with ID {image_id}.")
        self.image_id = image_id


class NotFound(ImgsvcError):
    """An object that is not an image does not exist."""


class ImageExists(ImgsvcError):
    """The id is taken, perhaps by a deleted image."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image ID {image_id} already exists.")


class WrongStatus(ImgsvcError):
    """The status of the image does not allow the operation."""

    def __init__(self, image_id: str, status: str, wanted: str) -> None:
        super().__init__(f"Image {image_id} is {status}: {wanted}.")
        self.status = status


class ImageChanged(ImgsvcError):
    """Another request changed the image between the read and the write of this one, which must read it again."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image {image_id} was changed by another request at the same time.")


class Conflict(ImgsvcError):
    """The request conflicts with the current state."""


class NamespaceChanged(Conflict):
    """Another request changed a namespace between the read and the write of this one, which must read it again."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Namespace {name!r} was changed by another request at the same time.")


class LeaseLost(ImgsvcError):
    """The upload has lost its lease on the image: the lease ran out, or the image was deleted."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image {image_id} was deleted, or this upload lost its lease, while its data arrived.")


class CatalogueUnavailable(ImgsvcError):
    """The database does not work now: it is locked, out of space, or unreachable."""


# --- tasks


class TaskStalled(ImgsvcError):
    """A task has made no progress for too long."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id}: no progress for too long.")


class TaskCancelled(ImgsvcError):
    """A task was cancelled."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id} was cancelled.")


# --- limits


class TooLarge(ImgsvcError):
    """The size cap or the owner's quota does not allow so many bytes."""


class QuotaExceeded(ImgsvcError):
    """A quota does not allow so many tags, properties or other objects."""


class Overloaded(ImgsvcError):
    """There is no memory for the request until others have ended."""


# --- stores


class StoreError(ImgsvcError):
    """A store has failed. store_id: of that store."""

    def __init__(self, store_id: str, message: str) -> None:
        super().__init__(f"Store {store_id}: {message}")
        self.store_id = store_id


class StoreFull(StoreError):
    """The store has no space or inode left, exceeds a quota of its medium, or cannot have files of that size."""


class StoreWriteDenied(StoreError):
    """The medium cannot be written, because of permissions or because it is read-only."""


class StoreForbidden(StoreError):
    """The store refuses to delete an object."""


class StoreUnavailable(StoreError):
    """The store does not answer, or answers with an error."""


class StoreAway(StoreUnavailable):
    """The store's medium is missing, or another one is there. Its objects are not accessible now, but not lost."""


class StoreReadOnly(StoreError):
    """The store does not accept images."""


class PartUnavailable(StoreError):
    """The store can read an object only as a whole."""


class ObjectExists(StoreError):
    """The store already has an object with that name, and it is not stale."""


class ObjectMissing(StoreError):
    """The object is not in the store."""


class ObjectDamaged(StoreError):
    """The object does not have the size that the catalogue has."""


class ObjectInUse(StoreError):
    """The object is used by a clone, a snapshot, another client, or a running upload."""


class DataMissing(ImgsvcError):
    """The image should have data, but no store has it."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image {image_id}: its data is missing from the store.")


# --- other servers


class RemoteUnavailable(ImgsvcError):
    """A server that a client has named does not answer, or answers wrongly."""


class ServiceUnavailable(ImgsvcError):
    """A service that the operator has configured does not answer, or answers wrongly.

    service: its name. is_down: whether other requests to it would fail, too, as far as is known; False: it has answered
    this one wrongly. retry_after: see ImgsvcError.
    """

    def __init__(self, service: str, reason: str, is_down: bool = True, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.service = service
        self.is_down = is_down
        self.retry_after = retry_after


class ServiceAnswerTooLarge(ServiceUnavailable):
    """The response of a service is longer than the limit."""


# --- start


class ConfigurationError(ImgsvcError):
    """The configuration is wrong. The message has the path of the key, the value, and what is allowed."""
