"""Property protections: who may create, read, update and delete which custom properties.

The file has the format of Glance's `property-protections.conf`. The name of each section is a regular expression. The
first section whose expression matches anywhere in a key decides about that property.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from attrs import frozen
from zope.interface import implementer

from imgsvc.errors import ConfigurationError, Forbidden
from imgsvc.identity.policy import Policy
from imgsvc.interfaces import IProtections
from imgsvc.model import Caller

OPERATIONS: Final = ("create", "read", "update", "delete")
OWN_PREFIX: Final = "os_glance"
"""The prefix of the keys that are reserved for the server."""

MOST_KEPT: Final = 10_000
"""Keys whose section is cached."""

Decide = Callable[[Caller], bool]


@frozen
class Section:
    """Who may do what to the properties whose keys contain a match of `pattern`. decide: one for each of OPERATIONS."""

    pattern: re.Pattern[str]
    decide: Mapping[str, Decide]


@implementer(IProtections)
class Protections:
    """Decides by the sections. Nobody may use a property that no section matches. Without sections all is allowed."""

    def __init__(self, sections: Sequence[Section] | None = None) -> None:
        self._sections = None if sections is None else tuple(sections)
        self._section_of: dict[str, Section | None] = {}

    @classmethod
    def load(cls, path: Path | None, rules: str, policy: Policy) -> Protections:
        """Read the protections from a file.

        path: of the file; None: no protections. rules: what the file lists, `roles` or names of `policies`.
        Raises ConfigurationError: the file is missing or wrong.
        """
        return cls() if path is None else cls(_sections(path, rules, policy))

    def allows(self, operation: str, caller: Caller, key: str) -> bool:
        """See IProtections."""
        if self._sections is None or key.startswith(OWN_PREFIX):
            return True
        section = self._find(self._sections, key)
        return section is not None and section.decide[operation](caller)

    def readable(self, caller: Caller, properties: Mapping[str, str]) -> Mapping[str, str]:
        """See IProtections."""
        if self._sections is None:
            return properties
        return {key: value for key, value in properties.items() if self.allows("read", caller, key)}

    def merged(self, caller: Caller, before: Mapping[str, str], after: Mapping[str, str]) -> Mapping[str, str]:
        """See IProtections."""
        if self._sections is None:
            return after
        seen = self.readable(caller, before)
        for key in seen.keys() - after.keys():
            self._require("delete", caller, key)
        for key, value in after.items():
            if key not in seen:
                self._require("create", caller, key)
            if key in before and (key not in seen or seen[key] != value):
                self._require("update", caller, key)
        return {**{key: value for key, value in before.items() if key not in seen}, **after}

    def _require(self, operation: str, caller: Caller, key: str) -> None:
        if not self.allows(operation, caller, key):
            raise Forbidden(f"You are not permitted to {operation} the property {key!r}.")

    def _find(self, sections: Sequence[Section], key: str) -> Section | None:
        try:
            return self._section_of[key]
        except KeyError:
            if len(self._section_of) >= MOST_KEPT:
                self._section_of.clear()
            found = next((section for section in sections if section.pattern.search(key)), None)
            self._section_of[key] = found
            return found


def _sections(path: Path, rules: str, policy: Policy) -> list[Section]:
    from configparser import Error, RawConfigParser  # imported here, because few configurations need it

    parser = RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from error
    except (Error, UnicodeDecodeError) as error:
        raise _bad(path, " ".join(str(error).split())) from error
    return [_section(path, name, parser[name], rules, policy) for name in parser.sections()]


def _section(path: Path, name: str, options: Mapping[str, str], rules: str, policy: Policy) -> Section:
    try:
        pattern = re.compile(name)
    except re.error as error:
        raise _bad(path, f"section [{name}] is not a regular expression: {error}") from error
    decide = {}
    for operation in OPERATIONS:
        if operation not in options:
            raise _bad(path, f"section [{name}] has no {operation!r}")
        words = frozenset(word.strip().lower() for word in options[operation].split(",") if word.strip())
        if len(words & {"@", "!"}) == 2:
            raise _bad(path, f"section [{name}]: {operation} is given to everybody (@) and to nobody (!)")
        try:
            decide[operation] = _by_roles(words) if rules == "roles" else _by_rule(options[operation].strip(), policy)
        except ConfigurationError as error:
            raise _bad(path, f"section [{name}]: {operation}: {error}") from error
    return Section(pattern, MappingProxyType(decide))


def _by_roles(roles: frozenset[str]) -> Decide:
    """Decide by roles. The roles of a service that passes a request on count too, as in Glance."""
    if "@" in roles:
        return lambda caller: True
    if "!" in roles:
        return lambda caller: False
    return lambda caller: not roles.isdisjoint(caller.roles) or not roles.isdisjoint(caller.service_roles)


def _by_rule(name: str, policy: Policy) -> Decide:
    """Decide by one rule of the policy. If a later version of the policy's file lacks that rule, nobody is allowed."""
    if name == "@":
        return lambda caller: True
    if name in ("!", ""):
        return lambda caller: False
    if name not in policy.rules:
        raise ConfigurationError(f"there is no rule {name!r} in the policy")
    return lambda caller: name in policy.rules and policy.permits(name, caller)


def _bad(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"policy.property_protection_file {path}: {what}")
