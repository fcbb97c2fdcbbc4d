"""Spells texts and schemas for a Lark grammar. Pure.

A control token stands in a grammar by its number: the text of an answer can neither name nor contain it.
"""

import json
import re
from typing import Any, Protocol

from runtime.backends.engines.llama.calls.forms import ANY

ANYTHING = r"(.|\n)*"
"""The expression for any text."""

_MARK = re.compile(r"<[^<>\s]+>|\[[A-Z_/]+\]")
_HOLE = re.compile(f"({ANY}+)")
_SYNTAX = re.compile(r"[\\.+*?()|\[\]{}^$#&\-~/]")


class Traits(Protocol):
    """What a grammar has to know of a vocabulary."""

    def is_control(self, text: str) -> bool:
        """Whether the text is one control token, as the grammar's tokenizer sees it."""

    def token_of(self, text: str) -> int:
        """Return the number of a control token; asked only where `is_control` says that it is one."""


def spell(text: str, traits: Traits) -> str:
    """Return the text for a rule, its control tokens by number and its holes as letters."""
    parts: list[str] = []
    at = 0
    for found in _MARK.finditer(text):
        if traits.is_control(found[0]):
            parts += [*_literals(text[at : found.start()]), f"<[{traits.token_of(found[0])}]>"]
            at = found.end()

    return " ".join([*parts, *_literals(text[at:])])


def marks_of(text: str, traits: Traits) -> list[str]:
    """Return the control tokens in the text."""
    return [found[0] for found in _MARK.finditer(text) if traits.is_control(found[0])]


def _literals(text: str) -> list[str]:
    parts = _HOLE.split(text)
    return [f"/[a-zA-Z0-9]{{{len(part)}}}/" if ANY in part else quote(part) for part in parts if part]


def quote(text: str) -> str:
    """Return the text as a literal."""
    return json.dumps(text, ensure_ascii=False)


def escape(text: str) -> str:
    """Return an expression, between slashes, for just this text."""
    return _SYNTAX.sub(r"\\\g<0>", text).replace("\n", "\\n")


def as_json(schema: dict[str, Any]) -> str:
    """Return a rule's body for JSON of this schema."""
    return f"%json {json.dumps(schema, ensure_ascii=False)}"
