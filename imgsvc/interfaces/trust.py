"""Who makes a request, what it may do, and which certificates signatures are checked with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers
from zope.interface import Attribute, Interface

from imgsvc.model import Caller, Visibility

__all__ = ["ICertificates", "IIdentity", "IPolicy", "IProtections", "Owned"]


class Owned(Protocol):
    """What a policy can decide about: an Image, a Namespace, and whatever else has an owner and a visibility."""

    @property
    def owner(self) -> str | None:
        """The id of a project."""

    @property
    def visibility(self) -> Visibility:
        """Who else sees it."""


class IIdentity(Interface):
    """Tells who makes a request."""

    challenge: str | None = Attribute("The value of WWW-Authenticate on a 401.")

    def identify(headers: Headers, peer: IAddress) -> Caller | Deferred[Caller]:
        """Who makes a request with these headers. peer: its address. Raises Unauthenticated."""


class IPolicy(Interface):
    """Decides who may do what."""

    def allows(action: str, caller: Caller, image: Owned | None = None) -> bool:
        """Whether the caller may do `action` (a name of Glance's policies, as `upload_image`) to the image.

        Without an image, to one that the caller's own project would own.
        """

    def might_allow(action: str, caller: Caller) -> bool:
        """False if the caller may do `action` to no image that its own project would own, whatever the image is."""


class IProtections(Interface):
    """Says who may do what to custom properties."""

    def allows(operation: str, caller: Caller, key: str) -> bool:
        """Whether the caller may `create`, `read`, `update` or `delete` the property `key` of an image."""

    def readable(caller: Caller, properties: Mapping[str, str]) -> Mapping[str, str]:
        """The properties that the caller may read. properties: from keys to values."""

    def merged(caller: Caller, before: Mapping[str, str], after: Mapping[str, str]) -> Mapping[str, str]:
        """All properties of an image as they shall be, from keys to values.

        before: all as they are. after: what the caller made of those that it may read.
        Raises Forbidden for one that it may not create, update or delete.
        """


class ICertificates(Interface):
    """Where the certificates are that signatures of images are checked with."""

    def certificate(certificate_id: str, caller: Caller) -> Deferred[bytes]:
        """An X.509 certificate, in PEM or DER. caller: the one it is for.

        Fails: NoSuchCertificate, BadSignature (it is none, or not for this caller), CertificatesUnavailable.
        """

    def stop() -> Deferred[None]:
        """End all that is under way, which fails with CertificatesUnavailable, as what is asked from now on does."""
