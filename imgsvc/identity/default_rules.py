"""Evaluates the default rules without oslo.policy, whose import would take a tenth of the start-up time, and 5 MiB.

The default rules use a part of its language: `rule:NAME`, `role:NAME`, `ATTRIBUTE:%(NAME)s` and `"CONSTANT":%(NAME)s`,
joined by `and`, `or` and parentheses. `rules.py` evaluates the rules of an operator's file. Tests compare both
evaluators for every rule.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from imgsvc.identity.actions import DEFAULT_RULES

__all__ = ["DefaultRules", "Inputs"]

Values = Mapping[str, Any]

_WORD: Final = re.compile(r"\(|\)|(?:%\(\w+\)s|[^\s()])+")


@frozen
class Inputs:
    """The names of the attributes of the caller, and of the target, that a rule depends on."""

    credentials: frozenset[str] = frozenset()
    target: frozenset[str] = frozenset()


@frozen
class _Check:
    """A part of a rule.

    holds: takes the attributes of the target and of the caller, and returns whether the check allows the action.
    """

    holds: Callable[[Values, Values], bool]
    inputs: Inputs = Inputs()


class DefaultRules:
    """The rules in force when there is no operator's file. See Rules."""

    def __init__(self) -> None:
        self.own: Values = {}
        self._checks: dict[str, _Check] = {}

    def __contains__(self, name: str) -> bool:
        return name in DEFAULT_RULES

    def __iter__(self) -> Iterator[str]:
        return iter(DEFAULT_RULES)

    def text(self, name: str) -> str:
        """The text of a rule."""
        return DEFAULT_RULES.get(name, "")

    def inputs(self, name: str) -> Inputs:
        """The attributes that a rule depends on. Raises KeyError: there is no such rule."""
        return self._check(name).inputs

    def holds(self, name: str, target: Values, credentials: Values) -> bool:
        """Whether a rule allows the action. Raises KeyError: there is no such rule."""
        return self._check(name).holds(target, credentials)

    def warnings(self) -> Iterator[str]:
        """None: see Rules."""
        return iter(())

    def _check(self, name: str) -> _Check:
        if name not in self._checks:
            words = deque(_WORD.findall(DEFAULT_RULES[name]))
            self._checks[name] = self._alternatives(words) if words else _Check(lambda target, credentials: True)
        return self._checks[name]

    def _alternatives(self, words: deque[str]) -> _Check:
        checks = [self._conjunction(words)]
        while words and words[0] == "or":
            words.popleft()
            checks.append(self._conjunction(words))
        return _joined(any, checks)

    def _conjunction(self, words: deque[str]) -> _Check:
        checks = [self._part(words)]
        while words and words[0] == "and":
            words.popleft()
            checks.append(self._part(words))
        return _joined(all, checks)

    def _part(self, words: deque[str]) -> _Check:
        word = words.popleft()
        if word == "(":
            check = self._alternatives(words)
            words.popleft()
            return check
        kind, _, match = word.partition(":")
        if kind == "rule":
            return self._check(match)
        if kind == "role":
            return _has_role(match)
        return _equal(kind, match.removeprefix("%(").removesuffix(")s"))


def _joined(rule: Callable[[Iterator[bool]], bool], checks: list[_Check]) -> _Check:
    """Join checks into one. rule: `any` or `all`."""
    if len(checks) == 1:
        return checks[0]
    return _Check(
        lambda target, credentials: rule(check.holds(target, credentials) for check in checks),
        Inputs(
            frozenset().union(*(check.inputs.credentials for check in checks)),
            frozenset().union(*(check.inputs.target for check in checks)),
        ),
    )


def _has_role(role: str) -> _Check:
    return _Check(
        lambda target, credentials: role in [each.lower() for each in credentials["roles"]],
        Inputs(frozenset({"roles"})),
    )


def _equal(kind: str, name: str) -> _Check:
    """Compare the caller's attribute `kind`, or the constant `kind` if it is in quotes, with the target's `name`."""
    if kind.startswith('"'):
        constant = kind.strip('"')
        return _Check(
            lambda target, credentials: name in target and str(target[name]) == constant,
            Inputs(target=frozenset({name})),
        )
    return _Check(
        lambda target, credentials: name in target and str(target[name]) == str(credentials[kind]),
        Inputs(frozenset({kind}), frozenset({name})),
    )
