"""What a client logs in with: frozen values, whose secrets are in no repr."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

DEFAULT_DOMAIN: Final = "default"
"""The id of the domain that Keystone makes first. openstackclient takes it too if no domain is given."""
IMAGE: Final = "image"
PUBLIC: Final = "public"


@frozen
class Domain:
    """A domain of Keystone, by its id or its name. Without both it is DEFAULT_DOMAIN."""

    id: str | None = None
    name: str | None = None


@frozen
class Nobody:
    """Nothing is sent."""


@frozen
class Token:
    """A token that exists already, sent as it is in X-Auth-Token. Nobody renews it."""

    token: str = field(repr=False)


@frozen
class Basic:
    """HTTP Basic (RFC 7617), which sends user and password with every request."""

    user: str
    password: str = field(repr=False)


@frozen
class User:
    """A user of Keystone, by id, or by name and domain."""

    id: str | None = None
    name: str | None = None
    domain: Domain = Domain()


@frozen
class Password:
    """A user of Keystone and the password."""

    user: User
    password: str = field(repr=False)


@frozen
class ApplicationCredential:
    """An application credential of Keystone, by id, or by name and user. It has a project of its own."""

    secret: str = field(repr=False)
    id: str | None = None
    name: str | None = None
    user: User | None = None


@frozen
class KeystoneToken:
    """A token with which another one is got from Keystone, for the wanted scope. The new one ends with the old one."""

    token: str = field(repr=False)


Credentials = Nobody | Token | Basic | Password | ApplicationCredential | KeystoneToken


@frozen
class Scope:
    """What a token of Keystone is for: one of these, or none for a token without scope.

    project_id; or project_name and project_domain; domain; system: the whole system; trust_id.
    """

    project_id: str | None = None
    project_name: str | None = None
    project_domain: Domain = Domain()
    domain: Domain | None = None
    system: bool = False
    trust_id: str | None = None


@frozen
class Tls:
    """Files for https connections. None: what the system trusts, and no certificate of the client.

    ca_file: a path, certificates that are trusted instead of the system's. certificate_file: a path, the client's own
    certificate. key_file: a path, its key; None if that is in the same file. insecure: certificates of servers are not
    checked at all.
    """

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    insecure: bool = False


@frozen
class Login:
    """All that a client needs to know who it is, and where the Image API is.

    auth_url: the URL of Keystone; needed by the credentials that Keystone checks. endpoint: the URL of the Image API;
    None: it is looked up in Keystone's catalogue, by service_type, interface and region. region: None for the first
    one.
    """

    credentials: Credentials = Nobody()
    auth_url: str | None = None
    scope: Scope = Scope()
    endpoint: str | None = None
    service_type: str = IMAGE
    interface: str = PUBLIC
    region: str | None = None
    tls: Tls = Tls()
