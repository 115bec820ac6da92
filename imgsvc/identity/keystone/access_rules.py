"""The access rules of application credentials: which requests such a credential may be used for.

Source: Keystone's API guide, "Application Credentials", and what keystonemiddleware does with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

__all__ = ["SERVICE_TYPE", "AccessRule", "allows"]

SERVICE_TYPE: Final = "image"
"""The type of this service in Keystone's catalogue. Rules for other services allow nothing here."""

MOST_RULES: Final = 64
"""Rules for one method that are compared with a path. With more, the comparison could take too long."""
LONGEST_PATH: Final = 512
"""Characters of a path that a rule can allow. No path of the API is that long."""

_PARTS: Final = re.compile(r"(?P<segment>\{[^}]*\}|(?<!\*)\*(?!\*))|(?P<rest>\*\*+)|(?P<character>.)", re.DOTALL)


@frozen
class AccessRule:
    """One rule. service: type of a service.

    path: a pattern. `*` and `{name}` stand for one or more characters except slashes, `**` for any characters.
    """

    service: str
    method: str
    path: str
    _pattern: _Pattern = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_pattern", _Pattern(self.path))

    def matches(self, path: str) -> bool:
        """Whether the pattern is that of a path."""
        return self._pattern.matches(path)


def allows(rules: Sequence[AccessRule], method: str, path: str) -> bool:
    """Whether one of the rules allows a request to this service.

    method: in upper case. path: without the query. Of more than MOST_RULES rules for one method the rest is not
    considered.
    """
    if len(path) > LONGEST_PATH:
        return False
    ours = [rule for rule in rules if rule.service == SERVICE_TYPE and rule.method == method]
    return any(rule.matches(path) for rule in ours[:MOST_RULES])


class _Pattern:
    """Compares paths with a pattern, all places in the pattern at once.

    A regular expression would go back and try again, which takes almost forever for some patterns. Bit `n` of a state
    says that the path so far matches the first `n` parts of the pattern.
    """

    def __init__(self, text: str) -> None:
        self._characters: dict[str, int] = {}
        self._segments = self._rests = 0
        bit = 1
        for part in _PARTS.finditer(text):
            if part["segment"]:
                self._segments |= bit
            elif part["rest"]:
                self._rests |= bit
            else:
                self._characters[part[0]] = self._characters.get(part[0], 0) | bit
            bit <<= 1
        self._end = bit

    def matches(self, path: str) -> bool:
        state = self._skipped(1)
        for character in path:
            after = ((state & self._characters.get(character, 0)) << 1) | (state & self._rests)
            if character != "/":
                after |= (state & self._segments) << 1 | (state & (self._segments << 1))
            state = self._skipped(after)
            if not state:
                return False
        return bool(state & self._end)

    def _skipped(self, state: int) -> int:
        """The state with the places behind `**` that are reached without a character. No two `**` are neighbours."""
        return state | (state & self._rests) << 1
