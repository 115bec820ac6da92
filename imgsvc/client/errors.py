"""The errors of the client. The text of each can be shown to the user."""

from __future__ import annotations

from collections.abc import Sequence


class ClientError(Exception):
    """The base of all errors that the client raises on purpose."""


class RequestRefused(ClientError):
    """The server refused a request.

    status: the HTTP status code. message: the text of the server, without markup; may be empty. retry_after: seconds
    after which the server asks to try again; None if it does not.
    """

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        text = f"The server refused ({status}): {message}" if message else f"The server refused ({status})."
        super().__init__(
            text if retry_after is None else f"{text.rstrip('.')}. It asks to try again in {retry_after:.0f} s."
        )
        self.status = status
        self.message = message
        self.retry_after = retry_after


class TokenRefused(RequestRefused):
    """The server refused the token of a request (401), but the next request will have a new one."""


class NoSuchImage(ClientError):
    """No image has that id or name."""

    def __init__(self, id_or_name: str) -> None:
        super().__init__(f"There is no image with the id or name {id_or_name!r}.")


class AmbiguousName(ClientError):
    """Several images have that name. ids: the ids of these images."""

    def __init__(self, name: str, ids: Sequence[str]) -> None:
        super().__init__(f"Several images are named {name!r}; use one of these ids: {', '.join(ids)}.")
        self.ids = tuple(ids)


class NoSuchStore(ClientError):
    """No store of that name takes images.

    stores: the names of those that do; empty if the server has only one store.
    """

    def __init__(self, store: str, stores: Sequence[str]) -> None:
        if stores:
            text = f"The server has no store {store!r} that takes images; there are {', '.join(stores)}."
        else:
            text = f"The server has one store only, so {store!r} cannot be chosen."
        super().__init__(text)
        self.stores = tuple(stores)


class NoData(ClientError):
    """The image has no data to download."""

    def __init__(self, image_id: str, status: str) -> None:
        super().__init__(f"Image {image_id} is {status}: it has no data to download.")


class Unreachable(ClientError):
    """No connection to a server could be made: to the Image API, or to Keystone."""

    def __init__(self, endpoint: str, reason: str, service: str = "the Image API") -> None:
        super().__init__(f"Cannot reach {service} at {endpoint}: {reason}")


class LoginUnusable(ClientError):
    """The settings for a login contradict each other, lack something, or have a value that the client cannot use."""


class LoginRefused(ClientError):
    """Keystone does not give a token. status: the HTTP status code of its answer."""

    def __init__(self, url: str, who: str, status: int, message: str) -> None:
        text = f"Keystone at {url} refuses to log in {who} ({status})"
        super().__init__(f"{text}: {message}" if message else f"{text}.")
        self.status = status


class NoImageEndpoint(ClientError):
    """The catalogue of Keystone does not say where the Image API is."""


class TransferInterrupted(ClientError):
    """A transfer or an answer ended before it was complete. Trying again may help."""


class ImageChanged(TransferInterrupted):
    """The data of the image changed since the download began."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"The data of image {image_id} changed during the download.")


class BadResponse(TransferInterrupted):
    """The answer of the server is not one that the Image API allows."""


class Unsettled(TransferInterrupted):
    """What became of an upload is not known yet. Only a Notice gets this error. awaited: a string, `until ...`."""

    def __init__(self, reason: str, awaited: str) -> None:
        super().__init__(reason)
        self.awaited = awaited


class VerificationFailed(ClientError):
    """The bytes here differ from those of the server.

    algorithm: of the digest that differs, or `size`. kept: the path of the wrong file, or None.
    """

    def __init__(self, image_id: str, algorithm: str, expected: object, found: object, kept: str | None = None) -> None:
        text = f"Image {image_id} does not verify: its {algorithm} is {expected}, that of the bytes here is {found}."
        super().__init__(f"{text} They were kept as {kept}." if kept else text)
        self.algorithm = algorithm
        self.kept = kept


class LocalFileError(ClientError):
    """A file of this machine could not be read or written. path: of the file, or its name for people."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
