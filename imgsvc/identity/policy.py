"""Decides who may do what: by the rules of the policy, within the bounds of who can see and who owns an image.

A rule is evaluated once for each combination of the values that it depends on. The decision is cached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from zope.interface import implementer

from imgsvc.errors import ConfigurationError
from imgsvc.identity.actions import OWNERS_ACTIONS
from imgsvc.identity.default_rules import DefaultRules
from imgsvc.identity.stamps import stamp_of
from imgsvc.image_fields import names_of
from imgsvc.interfaces import IPolicy, Owned
from imgsvc.logger import make_logger
from imgsvc.model import Caller, Image, Visibility

if TYPE_CHECKING:
    from imgsvc.identity.rules import Rules

log = make_logger()

LOOK_INTERVAL: Final = 1.0
"""Seconds between two checks whether the file has changed."""

MOST_KEPT: Final = 10_000
"""Cached decisions of one rule."""

ReadInput = Callable[[Caller, Owned | None], object]
"""Reads one value that a rule depends on from the caller or the target. Returns _NOTHING if there is no such value."""


def sees(caller: Caller, image: Image) -> bool:
    """Whether the caller can see an image. No rule can grant more than this."""
    if image.visibility in _FOR_EVERYBODY or caller.is_admin:
        return True
    if image.owner is None:
        return image.visibility == Visibility.SHARED
    if image.owner == caller.project_id:
        return True
    return image.visibility == Visibility.SHARED and caller.project_id in image.members


_FOR_EVERYBODY: Final = frozenset({Visibility.PUBLIC, Visibility.COMMUNITY})


@implementer(IPolicy)
class Policy:
    """Decides by the rules and by the owner of the image. Reads the rules again when their file has changed."""

    def __init__(self, path: Path | None = None, seconds: Callable[[], float] = monotonic) -> None:
        """path: file of the operator's rules, in YAML; None: use the defaults. seconds: returns the monotonic time, in
        seconds.

        Raises ConfigurationError: the file is missing or wrong.
        """
        self._path = path
        self._seconds = seconds
        self._stamp = stamp_of(path)
        self._look_at = seconds() + LOOK_INTERVAL if path else float("inf")
        self._rules = _rules(path)
        self._decisions: dict[str, _Decisions] = {}

    @property
    def rules(self) -> DefaultRules | Rules:
        """The rules in force."""
        if self._seconds() >= self._look_at:
            self._look()
        return self._rules

    def allows(self, action: str, caller: Caller, image: Owned | None = None) -> bool:
        """Whether the caller may do `action` to the image.

        image: an Image, or another object with an owner and a visibility; None: an image that the caller's project
        would own.
        Raises KeyError: there is no such action.
        """
        return within_bounds(action, caller, image) and self.permits(action, caller, image)

    def might_allow(self, action: str, caller: Caller) -> bool:
        """See IPolicy. Raises KeyError: there is no such action."""
        decisions = self._decisions_of(action)
        return within_bounds(action, caller, None) and (decisions.depends_on_target or decisions.of(caller, None))

    def permits(self, rule: str, caller: Caller, target: Owned | None = None) -> bool:
        """The decision of a rule alone, without `within_bounds`. Raises KeyError: there is no such rule."""
        return self._decisions_of(rule).of(caller, target)

    def _decisions_of(self, rule: str) -> _Decisions:
        if self._seconds() >= self._look_at:
            self._look()
        try:
            return self._decisions[rule]
        except KeyError:
            decisions = self._decisions[rule] = _Decisions(self._rules, rule)
            return decisions

    def _look(self) -> None:
        """Read the file again if it has changed. If the new file is wrong, the old rules stay in force."""
        self._look_at = self._seconds() + LOOK_INTERVAL
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._rules = _rules(self._path)
        except ConfigurationError as error:
            log.error("the policy stays as it was: {error}", error=str(error))
            return
        self._decisions = {}
        log.info("policy.file {path} was read again", path=self._path)


def within_bounds(action: str, caller: Caller, image: Owned | None) -> bool:
    """Whether the caller can see the image and, for an action that changes it, owns it. No rule can grant more than
    this.
    """
    if caller.is_admin:
        return True
    if isinstance(image, Image) and not sees(caller, image):
        return False
    if action in OWNERS_ACTIONS:
        project = caller.project_id
        return project is not None and (image is None or image.owner == project)
    if action == "modify_member":
        return image is None or (isinstance(image, Image) and caller.project_id in image.members)
    return True


class _Decisions:
    """Evaluates one rule, and caches its decisions."""

    def __init__(self, rules: DefaultRules | Rules, name: str) -> None:
        inputs = rules.inputs(name)
        self._rules = rules
        self._name = name
        self._of_caller = {each: _CALLER[each] for each in sorted(inputs.credentials & _CALLER.keys())}
        self._of_target = {each: _target_input(each) for each in sorted(inputs.target)}
        self._inputs = (*self._of_caller.values(), *self._of_target.values())
        self._kept: dict[tuple[object, ...], bool] = {}
        self.depends_on_target = any(_ALIASES.get(name, name) != "owner" for name in self._of_target)
        """Whether the decisions depend on more of the target than its owner."""

    def of(self, caller: Caller, target: Owned | None) -> bool:
        key = tuple([read(caller, target) for read in self._inputs])
        try:
            return self._kept[key]
        except KeyError:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = decision = self._ask(key)
            return decision

    def _ask(self, key: tuple[object, ...]) -> bool:
        seen = len(self._of_caller)
        caller = {name: _listed(value) for name, value in zip(self._of_caller, key[:seen], strict=True)}
        target = zip(self._of_target, key[seen:], strict=True)
        return self._rules.holds(self._name, {name: value for name, value in target if value is not _NOTHING}, caller)


def _rules(path: Path | None) -> DefaultRules | Rules:
    if path is None:
        return DefaultRules()
    from imgsvc.identity.rules import Rules  # imports oslo.policy, which the defaults do not need

    return Rules.load(path)


# --- the values that rules depend on

_NOTHING: Final = object()

_CALLER: Final[Mapping[str, ReadInput]] = {
    "roles": lambda caller, target: caller.roles,
    "service_roles": lambda caller, target: caller.service_roles,
    "user_id": lambda caller, target: caller.user_id,
    "user": lambda caller, target: caller.user_id,
    "project_id": lambda caller, target: caller.project_id,
    "tenant": lambda caller, target: caller.project_id,
    "is_admin": lambda caller, target: caller.is_admin,
    # True only in the administrative project, where Keystone has one. Without one it is true in every project.
    "is_admin_project": lambda caller, target: True,
}

_ALIASES: Final = {"image_id": "id", "project_id": "owner"}
_ATTRIBUTES: Final = frozenset(names_of(lambda field: field.is_attribute and field.always_shown))


def _target_input(name: str) -> ReadInput:
    """How to read what a rule calls %(name)s: an attribute of the image, or a custom property of that name."""
    if name in ("member_id", "member"):
        return _member
    attribute = _ALIASES.get(name, name)
    if attribute == "owner":
        return _owner
    if attribute in _ATTRIBUTES:
        read = attrgetter(attribute)
        return lambda caller, target: _NOTHING if target is None else _text(read(target))
    return lambda caller, target: getattr(target, "properties", {}).get(name, _NOTHING)


def _owner(caller: Caller, target: Owned | None) -> object:
    """The owner; _NOTHING if there is none.

    In the language of the rules None equals None, but a caller without a project does not own an image without an
    owner.
    """
    if target is None:
        return caller.project_id
    return _NOTHING if target.owner is None else target.owner


def _member(caller: Caller, target: Owned | None) -> object:
    """The caller's project if the image is shared with it, else None as in Glance. _NOTHING: see `_owner`."""
    if target is None or caller.project_id is None:
        return _NOTHING
    return caller.project_id if caller.project_id in getattr(target, "members", ()) else None


def _text(value: object) -> object:
    return str(value) if isinstance(value, str) else value


def _listed(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else value
