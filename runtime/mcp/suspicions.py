"""Looks at what a server says of its tools as an attacker's text: what cannot be seen, what commands. Pure.

Warnings are for the person who approves a tool. A model never sees the hidden characters.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

_MOST_WARNINGS = 20
_PATTERNS: dict[str, tuple[str, ...]] = {
    "tells the model to disregard other instructions": (
        r"\b(ignore|disregard|forget|override)\b.{0,40}",
        r"\b(previous|prior|above|earlier|other|all|any|system)\b.{0,40}",
        r"\b(instruction|prompt|rule|message|guideline|direction)s?\b",
    ),
    "asks to hide something from the person": (
        r"\b(do not|don't|never|without)\b.{0,30}",
        r"\b(tell|mention|inform|notify|show|reveal)(ing)?\b.{0,30}",
        r"\b(user|person|human|anyone|them|it)\b",
    ),
    "speaks with an authority that it has not": (
        r"<\s*/?\s*(important|system|secret|instructions?|critical|admin)\b[^>]{0,40}>",
        r"|\[(system|inst)\]",
    ),
    "commands the use of other tools": (
        r"\b(before|after|instead of|whenever)\b.{0,40}",
        r"\b(using|calling|invoking|you (use|call))\b.{0,40}\b(tool|function|any)",
    ),
    "names places of secrets": (
        r"(~|\$HOME|/home/\w+|/root)?/?\.(ssh|aws|gnupg|kube|netrc|npmrc)\b",
        r"|\bid_(rsa|ed25519)\b|/etc/(passwd|shadow)|\b(mcp|claude_desktop_config)\.json\b",
    ),
    "asks for what was said or given to others": (
        r"\b(pass|send|include|provide|forward|put)\b.{0,60}",
        r"\b(conversation|chat|history|system prompt|api[ _-]?keys?|passwords?|credentials?|tokens?)\b",
    ),
    "tells the model what it must do first": (
        r"\byou (must|should) (always|first)\b",
        r"|\balways (first )?(call|read|run) (the|this|that|all)\b",
    ),
}
_PHRASES = {
    meaning: re.compile("".join(parts), re.IGNORECASE | re.DOTALL) for meaning, parts in _PATTERNS.items()
}


def is_hidden(character: str) -> bool:
    """Say whether a character cannot be seen, or changes the direction of others."""
    if character in "\n\t":
        return False
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Co", "Cn", "Cs"):
        return True
    # Variation selectors and fillers carry data that no font shows.
    number = ord(character)
    return (
        0xFE00 <= number <= 0xFE0E
        or 0xE0100 <= number <= 0xE01EF
        or character in "\u115f\u1160\u3164\uffa0\u2800"
    )


def strip_hidden(text: str) -> str:
    """Return the text without characters that cannot be seen."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(each for each in text if not is_hidden(each))


def strip_deep(value: Any) -> Any:
    """Do the same to every text within a value, keys included."""
    match value:
        case str():
            return strip_hidden(value)
        case dict():
            return {strip_hidden(str(key)): strip_deep(each) for key, each in value.items()}
        case list():
            return [strip_deep(each) for each in value]
        case _:
            return value


def find_suspicions(definition: Any) -> tuple[str, ...]:
    """Return what a person should know before they approve a definition."""
    found: dict[str, None] = {}
    for place, text in _texts(definition, ""):
        hidden = sorted({f"U+{ord(each):04X}" for each in text if is_hidden(each)})
        if hidden:
            names = ", ".join(hidden[:6]) + (", …" if len(hidden) > 6 else "")
            found[f"{place} holds characters that cannot be seen ({names}): {_revealed(text)}"] = None
        seen = strip_hidden(text)
        for meaning, pattern in _PHRASES.items():
            match = pattern.search(seen)
            if match:
                found[f"{place} {meaning}: “{' '.join(match[0].split())[:120]}”"] = None
    return tuple(found)[:_MOST_WARNINGS]


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place or "it", value
    elif isinstance(value, dict):
        for key, each in value.items():
            here = f"{place}.{strip_hidden(str(key))}" if place else strip_hidden(str(key))
            if any(is_hidden(letter) for letter in str(key)):
                yield f"a name in {place or 'it'}", str(key)
            yield from _texts(each, here)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _texts(each, f"{place}[{number}]")


def _revealed(text: str) -> str:
    """Show a text with its hidden characters; the ones that mirror ASCII are read aloud."""
    shown = []
    for each in text:
        number = ord(each)
        if 0xE0020 <= number <= 0xE007E:
            shown.append(chr(number - 0xE0000))
        elif is_hidden(each):
            shown.append(f"⟨{number:04X}⟩")
        else:
            shown.append(each)
    return " ".join("".join(shown).split())[:200]
