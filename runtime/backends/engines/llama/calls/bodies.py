"""Writes the grammar of the arguments of one function. Pure."""

from typing import Any, NamedTuple

from runtime.backends.engines.llama.calls.forms import Form
from runtime.backends.engines.llama.calls.literals import ANYTHING, as_json, escape, quote

_CLOSE = "\n</parameter>\n"
_MARK = escape(_CLOSE.removesuffix("\n"))
_SHARED = ("x-guidance", "$defs", "definitions")
_PLAIN = {"type", "title", "description", "default", "minLength", "maxLength", "enum", "const"}
"""What a text may have to satisfy and still be told bare: a pattern is kept to in JSON only."""


class Ruled(NamedTuple):
    """A tool as the grammar needs it: the schema of its arguments, or the grammar of its input."""

    name: str
    schema: dict[str, Any] | None = None
    lark: str | None = None
    """Of a custom tool with a grammar; None for free text."""
    texts: frozenset[str] = frozenset()
    """Parameters that are told as bare text where the form writes a tag for each."""
    is_custom: bool = False


def texts_of(schema: dict[str, Any]) -> frozenset[str]:
    """Return the parameters that are told as bare text where the form writes a tag for each."""
    properties: dict[str, Any] = schema.get("properties") or {}
    return frozenset(key for key, each in properties.items() if _is_text(each))


def _is_text(schema: Any) -> bool:
    if not isinstance(schema, dict) or not schema.keys() <= _PLAIN:
        return False

    return schema.get("type") == "string" or _options(schema) is not None


def write_arguments(tool: Ruled, form: Form, rule: str) -> list[str]:
    """Return the body of the rule, and the rules that it needs."""
    schema = tool.schema or {}
    if form.shape == "json":
        return [as_json(schema)]

    required = set(schema.get("required") or ())
    properties = {key: each for key, each in (schema.get("properties") or {}).items() if each is not False}
    body: list[str] = []
    rules: list[str] = []
    for at, (key, each) in enumerate(properties.items()):
        name = f"{rule}_{at}"
        value, *more = _value(each, schema, f"{name}_text")
        rules += [f"{name}: {quote(f'<parameter={key}>' + chr(10))} {value}", *more]
        body.append(name if key in required else f"{name}?")

    return [" ".join(body) or quote(""), *rules]


def _value(schema: Any, root: dict[str, Any], name: str) -> list[str]:
    """Return the body of one value with its closing tag, and the rules that it needs."""
    if not _is_text(schema):
        whole: dict[str, Any] = dict(schema) if isinstance(schema, dict) else {}
        whole |= {key: root[key] for key in _SHARED if key in root}
        return [f"{as_json(whole)} {quote(_CLOSE)}"]

    options = _options(schema)
    if options is not None:
        return [f"({' | '.join(map(quote, options))}) {quote(_CLOSE)}"]

    least, most = schema.get("minLength", 0), schema.get("maxLength", "")
    anything = ANYTHING if most == "" and not least else rf"(.|\n){{{least},{most}}}"
    return [f'{name} "\\n"', f"{name}[lazy]: {name.upper()}", f"{name.upper()}: /{anything}{_MARK}/"]


def _options(schema: dict[str, Any]) -> list[str] | None:
    """Return the texts to choose from; None where there are none, or others than texts among them."""
    options = [schema["const"]] if "const" in schema else schema.get("enum")
    return options if options and all(isinstance(option, str) for option in options) else None
