"""A server's question as a form: the fields of its JSON schema, and what a person wrote, read by them."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Literal, NamedTuple

Kind = Literal["text", "number", "integer", "choice", "choices"]
_YES, _NO = "yes", "no"


class Field(NamedTuple):
    """One thing that is asked for."""

    name: str
    title: str
    about: str
    kind: Kind
    is_required: bool
    start: str = ""
    """What stands in it before the person writes."""
    choices: tuple[tuple[Any, str], ...] = ()
    """Values with what they are called; of kind `choice` and `choices` alone."""
    least: float | None = None
    """Of a number its value, of a text its length, of choices how many."""
    most: float | None = None


class Wrong(NamedTuple):
    """Why an answer cannot be sent: the field and the words."""

    field: str
    words: str


def read_form(schema: Mapping[str, Any] | None) -> tuple[Field, ...]:
    """Return the fields of a schema; one that says nothing usable of itself is a text."""
    known = _mapping(_mapping(schema).get("properties"))
    required = _mapping(schema).get("required")
    names = required if isinstance(required, list) else []
    return tuple(_field(name, _mapping(about), is_required=name in names) for name, about in known.items())


def read_answer(fields: Sequence[Field], written: Mapping[str, str]) -> dict[str, Any] | Wrong:
    """Return what was written as the values that the schema wants, or the first thing that is wrong."""
    answer: dict[str, Any] = {}
    for field in fields:
        text = written.get(field.name, "")
        if not text.strip():
            if field.is_required:
                return Wrong(field.name, f"{field.title}: this is needed")
            continue
        value = _value(field, text)
        if isinstance(value, Wrong):
            return value
        answer[field.name] = value
    return answer


def hint(field: Field) -> str:
    """Return what may be written, in a few words."""
    words = {"text": "text", "number": "number", "integer": "whole number", "choice": "one of"}
    if field.kind in ("choice", "choices"):
        names = " · ".join(name for _, name in field.choices)
        return f"{words.get(field.kind, 'some of, with commas')}: {names}"

    told = words[field.kind]
    unit = " letters" if field.kind == "text" else ""
    if field.least is not None and field.most is not None:
        return f"{told}, {field.least:g} to {field.most:g}{unit}"
    if field.least is not None:
        return f"{told}, at least {field.least:g}{unit}"
    return told if field.most is None else f"{told}, at most {field.most:g}{unit}"


def _field(name: str, about: Mapping[str, Any], *, is_required: bool) -> Field:
    kind, choices = _kind(about)
    least, most = _bounds(about, kind)
    return Field(
        name=name,
        title=str(about.get("title") or name),
        about=str(about.get("description") or ""),
        kind=kind,
        is_required=is_required,
        start=_start(about.get("default"), kind, choices),
        choices=choices,
        least=least,
        most=most,
    )


def _kind(about: Mapping[str, Any]) -> tuple[Kind, tuple[tuple[Any, str], ...]]:
    match about.get("type"):
        case "boolean":
            return "choice", ((True, _YES), (False, _NO))
        case "integer":
            return "integer", ()
        case "number":
            return "number", ()
        case "array":
            return "choices", _choices(_mapping(about.get("items")))
        case _:
            found = _choices(about)
            return ("choice", found) if found else ("text", ())


def _choices(about: Mapping[str, Any]) -> tuple[tuple[Any, str], ...]:
    told = about.get("oneOf") or about.get("anyOf")
    if isinstance(told, list):
        options = [_mapping(each) for each in told]
        return tuple(
            (each["const"], str(each.get("title") or each["const"])) for each in options if "const" in each
        )

    values = about.get("enum")
    if not isinstance(values, list):
        return ()
    names = about.get("enumNames")
    named = names if isinstance(names, list) and len(names) == len(values) else values
    return tuple((value, str(name)) for value, name in zip(values, named, strict=True))


def _bounds(about: Mapping[str, Any], kind: Kind) -> tuple[float | None, float | None]:
    names = {"text": ("minLength", "maxLength"), "choices": ("minItems", "maxItems")}
    low, high = names.get(kind, ("minimum", "maximum"))
    return _number(about.get(low)), _number(about.get(high))


def _start(default: Any, kind: Kind, choices: Sequence[tuple[Any, str]]) -> str:
    if default is None:
        return ""
    if kind == "choice":
        return next((name for value, name in choices if value == default), "")
    if kind == "choices":
        wanted = default if isinstance(default, list) else []
        return ", ".join(name for value, name in choices if value in wanted)
    return str(default)


def _value(field: Field, text: str) -> Any:
    match field.kind:
        case "text":
            return _bounded(field, text, len(text), " letters")
        case "integer" | "number":
            return _read_number(field, text.strip())
        case "choice":
            return _choice(field, text)
        case "choices":
            picked = [_choice(field, each) for each in text.split(",") if each.strip()]
            wrong = next((each for each in picked if isinstance(each, Wrong)), None)
            return wrong or _bounded(field, picked, len(picked), "")


def _read_number(field: Field, text: str) -> Any:
    try:
        value = int(text) if field.kind == "integer" else float(text)
    except ValueError:
        return Wrong(field.name, f"{field.title}: '{text[:40]}' is no {hint(field).partition(',')[0]}")
    if not isfinite(value):
        return Wrong(field.name, f"{field.title}: '{text[:40]}' is no number")
    return _bounded(field, value, value, "")


def _choice(field: Field, text: str) -> Any:
    wanted = text.strip()
    for value, name in field.choices:
        if wanted in (name, str(value)):
            return value
    return Wrong(field.name, f"{field.title}: '{wanted[:40]}' is not offered")


def _bounded(field: Field, value: Any, measure: float, unit: str) -> Any:
    if field.least is not None and measure < field.least:
        return Wrong(field.name, f"{field.title}: at least {field.least:g}{unit}")
    if field.most is not None and measure > field.most:
        return Wrong(field.name, f"{field.title}: at most {field.most:g}{unit}")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
