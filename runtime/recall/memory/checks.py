"""What may be remembered: refusals of items and changes that could never be stored or read back. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from runtime.core.errors import Conflict, Fault, RequestInvalid
from runtime.core.memories import Item, ItemChange, NewItem
from runtime.recall.memory.rows import KIND_KEY

W = TypeVar("W", NewItem, ItemChange)

_INT_LIMIT = 2**63
"""Numbers of attributes lie below it, as filters compare them."""


def checked(words: W) -> W:
    """Return what was told, tags and links without repetitions. Raises RequestInvalid naming the field."""
    plain = msgspec.to_builtins(words)
    if reason := flaw_of(plain):
        raise invalid(f"{reason}.", _field(reason))

    try:
        told: W = msgspec.convert(plain, type(words))
    except msgspec.ValidationError as problem:
        text, _, path = str(problem).partition(" - at `$.")
        place = path.rstrip("`")
        raise invalid(f"'{place}': {text}." if place else f"{text}.", place or None) from problem

    if reason := check_told(told):
        raise invalid(f"{reason}.", _field(reason))

    return _without_repetitions(told)


def _without_repetitions(told: W) -> W:
    lists = ("tags", "supersedes", "contradicts", "derived_from")
    values = {name: getattr(told, name, msgspec.UNSET) for name in lists}
    kept = {
        name: tuple(dict.fromkeys(each))
        for name, each in values.items()
        if not isinstance(each, msgspec.UnsetType)
    }
    return msgspec.structs.replace(told, **kept)


def flaw_of(plain: Any) -> str | None:
    """Return where something is that could not be read back, and why; None where all is well."""
    flaws = (f"`{place}` {reason}" for place, value in _leaves(plain, "") if (reason := _flaw(value)))
    return next(flaws, None)


def check_span(item: Item) -> None:
    """Raise RequestInvalid where an item would stop being so before it begins."""
    if item.valid_from is not None and item.valid_to is not None and item.valid_to <= item.valid_from:
        raise invalid("'valid_to' must be later than 'valid_from'.", "valid_to")


def invalid(message: str, param: str | None) -> RequestInvalid:
    """Return the error of a request that can never succeed."""
    return RequestInvalid(Fault(code="invalid_request", message=message, param=param))


def conflict(message: str, param: str | None = None) -> Conflict:
    """Return the error of a request that what is there stands against."""
    return Conflict(Fault(code="conflict", message=message, param=param))


def check_told(told: NewItem | ItemChange) -> str | None:
    """Return what is wrong with text, tags or attributes, beginning with the field; None: nothing."""
    if isinstance(told.text, str) and not told.text.strip():
        return "`text` is blank; say what is to be remembered"

    if not isinstance(told.tags, msgspec.UnsetType) and not all(tag.strip() for tag in told.tags):
        return "`tags` holds a blank one"

    if not isinstance(told.attributes, msgspec.UnsetType) and KIND_KEY in told.attributes:
        return f"`attributes.{KIND_KEY}` is taken: it stands for the item's own kind"

    return None


def _field(reason: str) -> str:
    return reason.split("`")[1]


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield what a value is made of, with the dotted path to it."""
    match value:
        case Mapping():
            for key, each in value.items():
                at = f"{place}.{key}" if place else str(key)
                yield at, key
                yield from _leaves(each, at)
        case str():
            yield place, value
        case Sequence():
            for number, each in enumerate(value):
                yield from _leaves(each, f"{place}[{number}]")
        case _:
            yield place, value


def _flaw(value: Any) -> str | None:
    """Return why a value could not be read back, None where it can."""
    match value:
        case float() if not math.isfinite(value):
            return "must be a finite number"
        case int() if not -_INT_LIMIT <= value < _INT_LIMIT:
            return "must lie within 64 bits"
        case str() if any("\ud800" <= character <= "\udfff" for character in value):
            return "holds a half of a character (a lone surrogate)"
        case _:
            return None
