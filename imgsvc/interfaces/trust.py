"""The interfaces for the identity and the permissions of callers, and for the certificates of signed images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers
from zope.interface import Attribute, Interface

from imgsvc.model import Caller, Visibility

__all__ = ["ICertificates", "IIdentity", "IPolicy", "IProtections", "Owned", "RequestHead"]


class Owned(Protocol):
    """An object with an owner and a visibility, such as an Image or a Namespace. A policy can decide about it."""

    @property
    def owner(self) -> str | None:
        """The id of a project."""

    @property
    def visibility(self) -> Visibility:
        """The other projects that may see it."""


@frozen
class RequestHead:
    """What a request tells of its caller.

    method: in upper case. path: as it was sent, without the query. peer: the address of the client.
    """

    method: str
    path: str
    headers: Headers
    peer: IAddress


class IIdentity(Interface):
    """Identifies the caller of a request."""

    challenge: str | None = Attribute("The value of WWW-Authenticate on a 401.")

    def identify(head: RequestHead) -> Caller | Deferred[Caller]:
        """Return the caller of a request. Raises Unauthenticated, Forbidden, ServiceUnavailable."""


class IPolicy(Interface):
    """Decides what callers may do."""

    def allows(action: str, caller: Caller, image: Owned | None = None) -> bool:
        """Whether the caller may do `action` to the image.

        action: a name of Glance's policies, such as `upload_image`. image: None: an image of the caller's own project.
        """

    def might_allow(action: str, caller: Caller) -> bool:
        """Whether there could be an image of the caller's own project to which the caller may do `action`."""


class IProtections(Interface):
    """Decides what callers may do to custom properties."""

    def allows(operation: str, caller: Caller, key: str) -> bool:
        """Whether the caller may `create`, `read`, `update` or `delete` the property `key` of an image."""

    def readable(caller: Caller, properties: Mapping[str, str]) -> Mapping[str, str]:
        """Return the properties that the caller may read. properties: values by key."""

    def merged(caller: Caller, before: Mapping[str, str], after: Mapping[str, str]) -> Mapping[str, str]:
        """Return all properties of an image after a change by the caller, as values by key.

        before: all properties of the image. after: the properties that the caller may read, with the caller's changes.
        Raises Forbidden: the caller may not create, update or delete a property that has changed.
        """


class ICertificates(Interface):
    """Provides the certificates that verify the signatures of images."""

    def certificate(certificate_id: str, caller: Caller) -> Deferred[bytes]:
        """Return an X.509 certificate, in PEM or DER.

        caller: the caller that needs it. Fails: NoSuchCertificate; BadSignature if it is not a certificate, or not
        accessible to this caller; CertificatesUnavailable.
        """

    def stop() -> Deferred[None]:
        """Make all current and later calls fail with CertificatesUnavailable."""
