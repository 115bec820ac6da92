"""Makes a Login of settings: the names and values of OS_* variables, or of an entry of clouds.yaml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from imgsvc.client.errors import LoginUnusable
from imgsvc.client.identity.login import (
    IMAGE,
    PUBLIC,
    ApplicationCredential,
    Basic,
    Credentials,
    Domain,
    KeystoneToken,
    Login,
    Nobody,
    Password,
    Scope,
    Tls,
    Token,
    User,
)
from imgsvc.client.urls import check_endpoint

AUTH_TYPES: Final = {
    **dict.fromkeys(("password", "v3password"), "password"),
    **dict.fromkeys(("token", "v3token"), "token"),
    **dict.fromkeys(("admin_token", "token_endpoint"), "admin_token"),
    **dict.fromkeys(("none", "None", ""), "none"),
    "v3applicationcredential": "application credential",
    "http_basic": "http_basic",
}
"""What `auth_type` can be: keystoneauth's names of its plugins."""
ENDPOINTS: Final = ("image_endpoint_override", "image_endpoint", "endpoint")
"""Settings that have the URL of the Image API; the first one counts."""
INTERFACES: Final = ("public", "internal", "admin")


@frozen
class Settings:
    """Settings by the names that clouds.yaml has for them, in lower case and with underscores.

    source: where they are from, for messages. spelling: how one name is written there, as `OS_{}`.
    """

    values: Mapping[str, str] = field(repr=False)
    source: str
    spelling: str
    upper: bool = False

    def get(self, *names: str) -> str | None:
        """Get the first of several settings that is there and not empty."""
        return next((value for name in names if (value := self.values.get(name))), None)

    def need(self, name: str) -> str:
        """Get a setting. Raises LoginUnusable: it is not there."""
        value = self.get(name)
        if value is None:
            raise LoginUnusable(f"{self.source}: {self.spell(name)} is missing.")
        return value

    def is_true(self, name: str) -> bool:
        """Whether a setting is `true`. Raises LoginUnusable: it is neither true nor false."""
        value = (self.get(name) or "false").lower()
        if value not in ("true", "false", "1", "0"):
            raise LoginUnusable(f"{self.source}: {self.spell(name)} must be true or false.")
        return value in ("true", "1")

    def spell(self, name: str) -> str:
        """Write the name of a setting as the source does."""
        return self.spelling.format(name.upper() if self.upper else name)


def make_login(settings: Settings) -> Login:
    """Make a Login.

    settings: with the meanings that openstacksdk and keystoneauth give them.

    Returns the Login, whose `endpoint` is None if there is none in the settings. Raises LoginUnusable.
    """
    kind = _kind(settings)
    auth_url, scope, interface = None, Scope(), PUBLIC
    if kind in ("password", "application credential", "token"):
        interface = _interface(settings)
        auth_url = _url(settings, "auth_url", settings.need("auth_url"))
        if settings.get("identity_api_version") in ("2", "2.0"):
            raise LoginUnusable(f"{settings.source}: version 2 of the Identity API is no longer spoken, only 3.")
    if kind in ("password", "token"):  # an application credential has its own
        scope = _scope(settings)
    endpoints = [_url(settings, name, url) for name in ENDPOINTS if (url := settings.get(name))]
    return Login(
        credentials=_credentials(settings, kind),
        auth_url=auth_url,
        scope=scope,
        endpoint=next(iter(endpoints), None),
        service_type=settings.get("image_service_type") or IMAGE,
        interface=interface,
        region=settings.get("image_region_name", "region_name"),
        tls=_tls(settings),
    )


def _tls(settings: Settings) -> Tls:
    unchecked = settings.get("verify") is not None and not settings.is_true("verify")
    return Tls(
        ca_file=_path(settings.get("cacert")),
        certificate_file=_path(settings.get("cert")),
        key_file=_path(settings.get("key")),
        insecure=settings.is_true("insecure") or unchecked,
    )


def _path(value: str | None) -> str | None:
    return None if value is None else os.path.expanduser(value)


def _url(settings: Settings, name: str, value: str) -> str:
    try:
        check_endpoint(value)
    except ValueError as error:
        raise LoginUnusable(f"{settings.source}: {settings.spell(name)}: {error}.") from error
    return value


def _kind(settings: Settings) -> str:
    """Find out how to log in: by `auth_type`, else by what is there."""
    given = settings.values.get("auth_type")
    if given is not None:
        if given not in AUTH_TYPES:
            allowed = ", ".join(sorted(name for name in AUTH_TYPES if name not in ("", "None")))
            raise LoginUnusable(f"{settings.source}: {settings.spell('auth_type')} must be one of {allowed}.")
        return AUTH_TYPES[given]
    if settings.get("application_credential_secret"):
        return "application credential"
    if settings.get("token"):
        as_it_is = not settings.get("auth_url") or settings.get(*ENDPOINTS)
        return "admin_token" if as_it_is else "token"
    return "password"


def _credentials(settings: Settings, kind: str) -> Credentials:
    match kind:
        case "password":
            return Password(_user(settings), settings.need("password"))
        case "application credential":
            secret = settings.need("application_credential_secret")
            credential_id = settings.get("application_credential_id")
            if credential_id is not None:
                return ApplicationCredential(secret, id=credential_id)
            name = settings.get("application_credential_name")
            if name is None:
                settings.need("application_credential_id")
            return ApplicationCredential(secret, name=name, user=_user(settings))
        case "token":
            return KeystoneToken(_header(settings, "token"))
        case "admin_token":
            return Token(_header(settings, "token"))
        case "http_basic":
            user = settings.need("username")
            if ":" in user:  # RFC 7617, section 2
                raise LoginUnusable(f"{settings.source}: {settings.spell('username')} must not have a colon.")
            return Basic(user, settings.need("password"))
    return Nobody()


def _header(settings: Settings, name: str) -> str:
    """Get a setting that is sent in a header. The error does not show it."""
    value = settings.need(name)
    if not value.isascii() or not value.isprintable():
        raise LoginUnusable(f"{settings.source}: {settings.spell(name)} has characters that no token has.")
    return value


def _user(settings: Settings) -> User:
    user_id = settings.get("user_id")
    if user_id is not None:
        return User(id=user_id)
    domain = _domain(settings, "user_domain", "domain") or _default_domain(settings)
    return User(name=settings.need("username"), domain=domain)


def _domain(settings: Settings, *kinds: str) -> Domain | None:
    """Get the first domain of the settings `KIND_id`, or else of `KIND_name`. An id counts before every name."""
    domain_id = settings.get(*(f"{kind}_id" for kind in kinds))
    if domain_id is not None:
        return Domain(id=domain_id)
    name = settings.get(*(f"{kind}_name" for kind in kinds))
    return None if name is None else Domain(name=name)


def _default_domain(settings: Settings) -> Domain:
    return Domain(id=settings.get("default_domain_id", "default_domain"))


def _scope(settings: Settings) -> Scope:
    """Get the scope of the token. With a project, `domain_id` and `domain_name` are those of project and user."""
    trust_id = settings.get("trust_id")
    system = settings.get("system_scope")
    if system not in (None, "all"):
        raise LoginUnusable(f"{settings.source}: {settings.spell('system_scope')} must be 'all'.")
    project_id = settings.get("project_id", "tenant_id")
    name = settings.get("project_name", "tenant_name")
    domain = _domain(settings, "domain")
    has_project = project_id is not None or name is not None
    chosen = [
        kind
        for kind, is_there in (
            ("a trust", trust_id is not None),
            ("the system", system is not None),
            ("a project", has_project),
            ("a domain", domain is not None and not has_project),
        )
        if is_there
    ]
    if len(chosen) > 1:
        raise LoginUnusable(f"{settings.source}: a token is for one of {' and '.join(chosen)}, not for both.")
    if has_project:
        home = _domain(settings, "project_domain", "domain") or _default_domain(settings)
        return Scope(project_id=project_id, project_name=name, project_domain=home)
    return Scope(domain=domain, system=system is not None, trust_id=trust_id)


def _interface(settings: Settings) -> str:
    given = settings.get("image_interface", "image_endpoint_type", "interface", "endpoint_type") or PUBLIC
    interface = given.removesuffix("URL")  # the names of the Identity API v2
    if interface not in INTERFACES:
        raise LoginUnusable(f"{settings.source}: {settings.spell('interface')} must be one of {', '.join(INTERFACES)}.")
    return interface
