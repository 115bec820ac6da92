"""What Keystone says of a token. Source: Keystone's API guide, "Validate and show information for token"."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from attrs import frozen

from imgsvc.errors import ServiceUnavailable
from imgsvc.identity.keystone.access_rules import AccessRule
from imgsvc.remote.service_calls import ServiceAnswer

__all__ = ["KEYSTONE", "TokenFacts", "token_facts", "token_of"]

KEYSTONE = "Keystone"
"""The name of the service in messages."""


@frozen
class TokenFacts:
    """A valid token.

    expires_at: seconds since 1970. project_id: None if its scope is not a project. roles: in lower case. is_scoped:
    whether it has any scope; other scopes than projects are domains and the system. is_bound: whether only the owner of
    a client certificate may use it. access_rules: None if it may be used for all requests.
    """

    expires_at: float
    user_id: str
    project_id: str | None
    roles: frozenset[str]
    is_scoped: bool
    is_bound: bool = False
    access_rules: tuple[AccessRule, ...] | None = None


def token_of(answer: ServiceAnswer) -> Mapping[str, object]:
    """The object `token` in an answer. Raises ServiceUnavailable: there is none."""
    document = answer.document()
    token = document.get("token") if isinstance(document, dict) else None
    if not isinstance(token, dict):
        raise _nonsense("has no token")
    return token


def token_facts(token: Mapping[str, object]) -> TokenFacts:
    """The facts of a token. Raises ServiceUnavailable: it does not look as Keystone's tokens do."""
    project = token.get("project")
    scopes = [token.get(name) for name in ("project", "domain", "system")]
    return TokenFacts(
        expires_at=expiry_of(token),
        user_id=_text(_object(token, "user"), "id"),
        project_id=_text(_object(token, "project"), "id") if project else None,
        roles=frozenset(_text(role, "name").lower() for role in _objects(token.get("roles"))),
        is_scoped=any(scopes),
        is_bound=bool(token.get("oauth2_credential")),
        access_rules=_access_rules(token),
    )


def expiry_of(token: Mapping[str, object]) -> float:
    """When a token expires, in seconds since 1970. Raises ServiceUnavailable."""
    text = _text(token, "expires_at")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _nonsense("has no date in expires_at") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def endpoint_of(token: Mapping[str, object], interface: str, region: str) -> str | None:
    """The URL of Keystone in the catalogue of a token; None if the catalogue has none.

    interface: `public`, `internal` or `admin`. region: its id; empty: any.
    """
    for service in _objects(token.get("catalog")):
        if service.get("type") == "identity":
            for endpoint in _objects(service.get("endpoints")):
                regions = (endpoint.get("region_id"), endpoint.get("region"))
                if endpoint.get("interface") == interface and (not region or region in regions):
                    return _text(endpoint, "url")
    return None


def _access_rules(token: Mapping[str, object]) -> tuple[AccessRule, ...] | None:
    credential = token.get("application_credential")
    if not isinstance(credential, dict) or credential.get("access_rules") is None:
        return None
    rules = _objects(credential["access_rules"])
    return tuple(AccessRule(_text(rule, "service"), _text(rule, "method"), _text(rule, "path")) for rule in rules)


def _object(parent: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise _nonsense(f"has no {name}")
    return value


def _objects(value: object) -> list[Mapping[str, object]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _nonsense("has something else in place of a list")
    return value


def _text(parent: Mapping[str, object], name: str) -> str:
    value = parent.get(name)
    if not isinstance(value, str) or not value:
        raise _nonsense(f"has no {name}")
    return value


def _nonsense(what: str) -> ServiceUnavailable:
    return ServiceUnavailable(KEYSTONE, f"The answer of Keystone {what}.", is_down=False)
