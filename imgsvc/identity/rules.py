"""The rules of an operator's file together with the defaults: checks them, and finds the attributes they depend on.

oslo.policy defines and evaluates the language. Its documentation calls the rules policy rules.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from oslo_config import cfg
from oslo_policy import _checks, policy

from imgsvc.errors import ConfigurationError
from imgsvc.identity.actions import DEFAULT_RULES, RETIRED
from imgsvc.identity.default_rules import Inputs
from imgsvc.logger import make_logger

log = make_logger()
# This module reports faults in rules itself, each in one line and before the rules are in force.
logging.getLogger("oslo_policy").addHandler(logging.NullHandler())
# Kinds of checks that other packages provide are refused by their names. Loading them, and an HTTP client with them,
# would take a tenth of the start-up time. `extension_checks` is not part of the public API of oslo.policy.
_checks.extension_checks = {}

CREDENTIALS: Final = frozenset(
    {"roles", "user_id", "user", "project_id", "tenant", "is_admin", "is_admin_project", "service_roles"}
)
"""The attributes of the caller that a rule can use: the names of oslo.context, and the older ones of Glance."""

UNKNOWN_CREDENTIALS: Final = frozenset(
    {
        "domain_id",
        "project_domain_id",
        "service_project_domain_id",
        "service_project_id",
        "service_user_domain_id",
        "service_user_id",
        "system_scope",
        "user_domain_id",
    }
)
"""Attributes of callers that Glance knows and imgsvc does not. A rule that uses one could not mean here what it means
there.
"""

_PLACE: Final = re.compile(r"%\(([^)]*)\)s|%%")


class Rules:
    """The rules in force: the defaults, each replaced by the operator's rule of the same name."""

    def __init__(self, own: Mapping[str, Any] | None = None, source: str = "policy") -> None:
        """own: the rules of the file, by name. source: names the file in messages.

        Raises ConfigurationError: a rule cannot be parsed, or cannot mean what its author intended.
        """
        self._source = source
        self.own: Mapping[str, Any] = dict(own or {})
        self._checks = policy.Rules(
            {name: self._parsed(name, text) for name, text in {**DEFAULT_RULES, **self.own}.items()}
        )
        self._inputs = {name: self._inputs_of(name) for name in self._checks}
        self._enforcer = policy.Enforcer(cfg.ConfigOpts(), use_conf=False)
        self._enforcer.set_rules(self._checks)

    @classmethod
    def load(cls, path: Path) -> Rules:
        """Read the rules from a YAML or JSON file, and log what `warnings` finds.

        Raises ConfigurationError: the file cannot be read, or a rule is wrong.
        """
        try:
            own = policy.parse_file_contents(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"policy.file {path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigurationError(f"policy.file {path}: is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(own, dict) or not all(isinstance(name, str) for name in own):
            raise ConfigurationError(f"policy.file {path}: must be a mapping from names to rules")
        rules = cls(own, f"policy.file {path}")
        for warning in rules.warnings():
            log.warn("{text}", text=warning)
        return rules

    def __contains__(self, name: str) -> bool:
        return name in self._checks

    def __iter__(self) -> Iterator[str]:
        return iter(self._checks)

    def text(self, name: str) -> str:
        """The text of a rule."""
        return str(self.own.get(name, DEFAULT_RULES.get(name, "")))

    def inputs(self, name: str) -> Inputs:
        """The attributes that a rule depends on. Raises KeyError: there is no such rule."""
        return self._inputs[name]

    def holds(self, name: str, target: Mapping[str, Any], credentials: Mapping[str, Any]) -> bool:
        """Whether a rule allows the action. Takes about 200 us. Raises KeyError: there is no such rule."""
        return bool(self._enforcer.enforce(self._checks[name], target, dict(credentials)))

    def warnings(self) -> Iterator[str]:
        """Warnings for the operator, one sentence each: rules that nothing uses, whose names may be mistyped."""
        named = {other for name in self._checks for other in self._references(self._checks[name])}
        retired = sorted(RETIRED & self.own.keys())
        idle = sorted(self.own.keys() - DEFAULT_RULES.keys() - named - RETIRED)
        if retired:
            yield f"{self._source}: nothing uses {', '.join(retired)} any more"
        if idle:
            yield f"{self._source}: no action and no other rule uses {', '.join(idle)}"

    def _parsed(self, name: str, text: Any) -> Any:
        """The tree of checks of a rule.

        oslo.policy turns text that it cannot parse into `!` (nobody), and an absent rule into `@` (everybody). Both are
        refused here. Raises ConfigurationError.
        """
        if not isinstance(text, str | list):
            raise self._bad(name, f"{text!r} must be text in quotes: '' allows all, '!' nobody")
        try:
            check: Any = policy.RuleDefault(name, text).check  # type: ignore[arg-type]  # old files have lists
        except (AttributeError, TypeError, ValueError) as error:
            raise self._bad(name, f"{text!r} is not a rule: {error}") from error
        words = text.split() if isinstance(text, str) else str(text).replace("'", " ").split()
        refused = sum(word.strip("()") == "!" for word in words)
        if [str(part) for part in _leaves(check)].count("!") > refused or (
            str(check) == "!" and "".join(words).strip("()[] ") != "!"
        ):
            raise self._bad(name, f"{text!r} is not a rule")
        return check

    def _inputs_of(self, name: str) -> Inputs:
        credentials: set[str] = set()
        target: set[str] = set()
        for leaf in self._leaves_with_references(name, self._checks[name], (name,)):
            if not isinstance(leaf, policy.Check):
                continue  # `@` and `!` depend on nothing
            target.update(self._places(name, leaf.match))
            if leaf.kind == "role":
                credentials.add("roles")
            elif leaf.kind not in CREDENTIALS and leaf.kind in _extensions():
                raise self._bad(name, f"{leaf.kind}: is a check of other servers, which imgsvc does not make")
            else:
                credentials.update(self._credential(name, leaf.kind))
        return Inputs(frozenset(credentials), frozenset(target))

    def _leaves_with_references(self, name: str, check: Any, path: tuple[str, ...]) -> Iterator[Any]:
        for leaf in _leaves(check):
            if not isinstance(leaf, policy.RuleCheck):
                yield leaf
            elif leaf.match in path:
                raise self._bad(name, f"refers to itself: {' -> '.join((*path, leaf.match))}")
            elif leaf.match not in self._checks:
                raise self._bad(name, f"refers to rule:{leaf.match}, which does not exist")
            else:
                yield from self._leaves_with_references(name, self._checks[leaf.match], (*path, leaf.match))

    def _references(self, check: Any) -> Iterator[str]:
        return (leaf.match for leaf in _leaves(check) if isinstance(leaf, policy.RuleCheck))

    def _places(self, name: str, match: str) -> Iterator[str]:
        """The attributes of the target that a check uses."""
        if "%" in _PLACE.sub("", match):
            raise self._bad(name, f"{match!r} may name what it compares with as %(name)s only")
        return (place[1] for place in _PLACE.finditer(match) if place[1] is not None)

    def _credential(self, name: str, kind: str) -> Iterator[str]:
        """The attribute of the caller that a check uses; nothing if the check has a constant instead."""
        try:
            ast.literal_eval(kind)
        except ValueError:
            first, dot, _ = kind.partition(".")
            if first in UNKNOWN_CREDENTIALS or (dot and first in CREDENTIALS):
                raise self._bad(name, f"imgsvc does not know {kind} of a caller") from None
            yield first
        except SyntaxError as error:
            raise self._bad(name, f"{kind!r} is neither a constant nor the name of an attribute") from error

    def _bad(self, name: str, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self._source}: rule {name!r}: {what}")


def _leaves(check: Any) -> Iterator[Any]:
    """The leaves of a tree of checks."""
    if isinstance(check, policy.AndCheck | policy.OrCheck):
        for part in check.rules:
            yield from _leaves(part)
    elif isinstance(check, policy.NotCheck):
        yield from _leaves(check.rule)
    else:
        yield check


@cache
def _extensions() -> frozenset[str]:
    """The kinds of checks that other packages provide, `http` and `https` among them."""
    return frozenset(point.name for point in entry_points(group="oslo.policy.rule_checks"))
