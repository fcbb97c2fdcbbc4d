"""What is asked: made of a seed, so that every server of a round gets the same words. Pure."""

import random
from typing import Any

from bench.inference.loadgen import Message

_WORDS = (  # noqa: SIM905  # a list would take a line for each word
    "answer apple bird bread bridge circle cloud color country day doctor door early earth engine evening "
    "family field fire fish floor flower forest friend garden grass hand head heart horse house island "
    "kitchen leaf letter light little market minute month morning mountain music night number ocean paper "
    "person picture question rain reason river road room school second seed silver simple snow square "
    "stone story street strong summer table teacher train tree village voice wall water week wind window "
    "winter year"
).split()
"""Common words: tokenizers have one token for nearly each of them, so that words count like tokens."""


def make_words(seed: str, count: int) -> str:
    """Return so many words that the seed decides."""
    chosen = random.Random(seed)
    return " ".join(chosen.choice(_WORDS) for _ in range(count))


def make_chat(prefix: str, seed: str, suffix: int) -> list[Message]:
    """Return a chat: what is shared as the system's message, and a user's message that the seed decides."""
    return [{"role": "system", "content": prefix}, make_turn(seed, suffix)]


def make_turn(seed: str, words: int) -> Message:
    """Return a user's message; its first word is its own, so that no two share more than what precedes."""
    return {"role": "user", "content": f"{seed}: {make_words(seed, words)}"}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_NAME = {"type": "string", "minLength": 1, "maxLength": 24}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 999}
_FLAG = {"type": "boolean"}
_TAGS = {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 1, "maxItems": 3}

SCHEMAS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Describe a city.", _object(name=_NAME, country=_NAME, population=_COUNT)),
    ("Book a table for tonight.", _object(guests=_COUNT, smoking=_FLAG, area={"enum": ["in", "out", "bar"]})),
    ("Turn on the lamp in the kitchen.", _object(action={"enum": ["on", "off", "dim"]}, room=_NAME)),
    ("File a bug about a slow page.", _object(title=_NAME, severity={"enum": ["low", "high"]}, tags=_TAGS)),
    ("Where does Ana live?", _object(person=_NAME, address=_object(street=_NAME, number=_COUNT))),
    (
        "List two fruits with their price.",
        _object(
            fruits={"type": "array", "items": _object(name=_NAME, price=_COUNT), "minItems": 2, "maxItems": 2}
        ),
    ),
    ("Is Paris in France?", _object(answer=_FLAG, because={"type": "string", "maxLength": 40})),
    (
        "Plan three steps to make tea.",
        _object(
            steps={
                "type": "array",
                "items": {"type": "string", "maxLength": 20},
                "minItems": 3,
                "maxItems": 3,
            }
        ),
    ),
)
"""Questions with the form of their answer: bounded, so that a small model comes to an end."""


def make_format(schema: dict[str, Any]) -> dict[str, Any]:
    """Return `response_format` for the schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
