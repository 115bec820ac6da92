"""Converts TOML tables to options classes.

`structure` reads one table into an attrs class whose fields were made by `option`. Every fault is a ConfigurationError
of one line, with the path of the key, the value, and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import attrs
from attrs import Attribute, field
from cattrs import AttributeValidationNote, ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from imgsvc.errors import ConfigurationError

T = TypeVar("T")

Size = Annotated[int, "bytes"]
"""Bytes. In TOML an integer, or text such as "256 MiB" (powers of 1024) or "10 GB" (powers of 1000)."""

Seconds = Annotated[float, "seconds"]
"""A duration. In TOML a number, or text such as "60 s", "5 min", "2 h"."""

LARGEST: Final = 2**63 - 1
"""The largest Size or duration, which every database can store."""

_SIZE_UNITS: Final = {"B": 1} | {
    letter + suffix: base**power
    for power, letter in enumerate("KMGT", 1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_TIME_UNITS: Final = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}

_ALLOWED: Final[dict[object, str]] = {
    Size: 'a size in bytes, as 1048576 or "1 MiB"',
    Seconds: 'a time in seconds, as 60 or "1 min"',
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    tuple[str, ...]: "a list of strings",
    tuple[int, ...]: "a list of integers",
}


class _OutOfRange(ConfigurationError):
    """A value is out of range. The text begins with the name of the option; `structure` adds the path before it."""


def option(
    help: str,
    default: Any = attrs.NOTHING,
    *,
    at_least: float | None = None,
    choices: Sequence[str] = (),
    reload: bool = False,
    secret: bool = False,
) -> Any:
    """A field of an options class. Without `default` the option is required.

    default: a value of the field's type; of a Size or Seconds a number, because the default is not converted.
    The field's type is one of bool, int, float, str, tuple[str, ...], tuple[int, ...], Size, Seconds. help: a sentence
    for the operator. at_least: lowest value; for a tuple, lowest length. choices: the allowed values; for a tuple, of
    its elements. reload: whether a change takes effect without a restart (`daemon/reload.py`). secret: whether messages
    and `repr` leave out the value.
    """

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        measure = len(value) if isinstance(value, tuple) else value
        chosen = set(value) if isinstance(value, tuple) else {value}
        if (at_least is not None and measure < at_least) or (choices and not chosen <= set(choices)):
            raise _OutOfRange(
                f"{attribute.name} = {_shown(attribute, value)}: must be {allowed(type(instance), attribute.name)}"
            )

    metadata = {"help": help, "at_least": at_least, "choices": tuple(choices), "reload": reload, "secret": secret}
    return field(default=default, metadata=metadata, validator=check, repr=not secret)


def allowed(cls: type[Any], name: str) -> str:
    """The allowed values of the option `name` of an options class, in words."""
    attribute = attrs.fields_dict(attrs.resolve_types(cls))[name]
    if attribute.metadata.get("choices"):
        choices = ", ".join(choice or '""' for choice in attribute.metadata["choices"])
        return f"a list of {choices}" if attribute.type == tuple[str, ...] else f"one of {choices}"
    text = _ALLOWED.get(attribute.type, "a table")
    if attribute.metadata.get("at_least") is not None:
        text += f", at least {attribute.metadata['at_least']}"
    return text


def structure(cls: type[T], table: Mapping[str, object], path: str) -> T:
    """Read a TOML table into the options class `cls`. path: of the table, such as `stores.local`; may be empty.

    Raises ConfigurationError: a key is unknown or missing, or a value has the wrong type or is out of range.
    """
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{path} = {table!r}: must be a table")
    try:
        return converter.structure(table, cls)
    except ClassValidationError as error:
        raise ConfigurationError(_complaint(error, table, path)) from None


def _complaint(error: ClassValidationError, table: Mapping[str, Any], path: str) -> str:
    """The first fault in an error of cattrs, as one line."""
    prefix = f"{path}." if path else ""
    first = error.exceptions[0]
    if isinstance(first, _OutOfRange):
        return f"{prefix}{first}"
    if isinstance(first, ConfigurationError):
        return str(first)
    options = attrs.fields_dict(error.cl)
    if isinstance(first, ForbiddenExtraKeysError):
        return f"{prefix}{sorted(first.extra_fields)[0]}: no such option; there are {', '.join(options)}"
    name = next(note.name for note in first.__notes__ if isinstance(note, AttributeValidationNote))
    if name not in table:
        return f"{prefix}{name}: must be given: {allowed(error.cl, name)}"
    if isinstance(first, ClassValidationError):
        return _complaint(first, table[name], f"{prefix}{name}")
    return f"{prefix}{name} = {_shown(options[name], table[name])}: must be {allowed(error.cl, name)}"


def _shown(attribute: Attribute[Any], value: object) -> str:
    """The value of an option in a message."""
    return "(not shown)" if attribute.metadata.get("secret") else repr(value)


def _quantity(value: object, units: Mapping[str, float]) -> float:
    """Parse a number, or a text with a number and one of `units`. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) if isinstance(value, float) else value
    else:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]*)", value) if isinstance(value, str) else None
        if match is None or (match[2] and match[2] not in units):
            raise ValueError(value)
        number = (float(match[1]) if "." in match[1] else int(match[1])) * units.get(match[2], 1)
    if not 0 <= number <= LARGEST:
        raise ValueError(value)
    return number


def _size(value: object, _: object) -> int:
    number = _quantity(value, _SIZE_UNITS)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _seconds(value: object, _: object) -> float:
    return float(_quantity(value, _TIME_UNITS))


def _exactly(*types: type) -> Any:
    """A hook that accepts values of exactly these types. So a bool does not pass for an int."""

    def take(value: Any, target: Any) -> Any:
        if type(value) not in types:
            raise TypeError(value)
        return target(value)

    return take


def _string(value: object, _: object) -> str:
    """Accept a text without NUL, which paths and addresses cannot contain."""
    if not isinstance(value, str) or "\0" in value:
        raise TypeError(value)
    return value


def _strings(value: object, _: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(value)
    return tuple(_string(item, str) for item in value)


def _integers(value: object, _: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not all(type(item) is int for item in value):
        raise TypeError(value)
    return tuple(value)


def _table_hook(cls: type[Any]) -> Any:
    read = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)

    def take(value: Any, target: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(value)
        return read(value, target)

    return take


converter: Final = Converter(detailed_validation=True)
converter.register_structure_hook_factory(attrs.has, _table_hook)
converter.register_structure_hook(bool, _exactly(bool))
converter.register_structure_hook(int, _exactly(int))
converter.register_structure_hook(float, _exactly(int, float))
converter.register_structure_hook(str, _string)
converter.register_structure_hook_func(lambda type: type == tuple[str, ...], _strings)
converter.register_structure_hook_func(lambda type: type == tuple[int, ...], _integers)
converter.register_structure_hook_func(lambda type: type == Mapping[str, object], lambda value, _: dict(value))
converter.register_structure_hook_func(lambda type: type == Size, _size)
converter.register_structure_hook_func(lambda type: type == Seconds, _seconds)
