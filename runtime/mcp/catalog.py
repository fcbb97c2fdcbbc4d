"""Many tools: above a share of the context their definitions give way to one tool that finds them. Pure.

What was found once stays shown for the rest of the session, after what was shown before: a model's cached
prompt stays a prefix of its next one.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from runtime.core.tools import Tool

SEARCH_NAME = "search_tools"
DEFAULT_SHARE = 0.05
"""Of a context; hosts are advised to search above one to five per cent."""
_CHARACTERS_PER_TOKEN = 3.5
"""Of definitions, which are mostly JSON and English; a little less than models really need."""
_MOST_FOUND = 8
_K1, _B = 1.2, 0.75
"""The usual constants of BM25."""
_NAME_WEIGHT, _TITLE_WEIGHT = 4, 2
"""A word in a tool's name says more about it than one in its description."""
_WORDS = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Definition(NamedTuple):
    """A tool as a model is told of it."""

    name: str
    description: str
    parameters: dict[str, Any]


SEARCH_TOOL = Definition(
    SEARCH_NAME,
    "Find tools by what they do. There are more tools than are listed here: search before you say that "
    "something cannot be done. The tools that are found can be called from then on.",
    {
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "minLength": 1,
                "description": "What the tool should do, in a few words: 'create calendar event'",
            },
            "limit": {"type": "integer", "minimum": 1, "maximum": 20, "default": _MOST_FOUND},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
)


def definition_of(tool: Tool) -> Definition:
    """Return a tool as a model is told of it."""
    return Definition(tool.full_name, tool.description or tool.title, tool.input_schema)


def estimate_tokens(definition: Definition) -> int:
    """Estimate how much of a context a definition takes."""
    text = len(definition.name) + len(definition.description)
    schema = len(json.dumps(definition.parameters, separators=(",", ":"), ensure_ascii=False))
    return math.ceil((text + schema) / _CHARACTERS_PER_TOKEN)


def is_too_many(tools: Sequence[Tool], context_tokens: int, share: float = DEFAULT_SHARE) -> bool:
    """Say whether the definitions take more than their share of a context."""
    budget = context_tokens * share
    total = 0
    for tool in tools:
        total += estimate_tokens(definition_of(tool))
        if total > budget:
            return True
    return False


def decide_shown(
    tools: Sequence[Tool], found: Sequence[str], context_tokens: int, share: float = DEFAULT_SHARE
) -> list[Definition]:
    """Return what a model is told of: all tools, or the search and what it has found so far, in that order.

    Once something was found the search stays, also where the tools would fit by now.
    """
    if not found and not is_too_many(tools, context_tokens, share):
        return [definition_of(each) for each in tools]

    known = {each.full_name: each for each in tools}
    return [SEARCH_TOOL, *(definition_of(known[name]) for name in found if name in known)]


def add_found(found: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return what was found so far, with the new ones at its end."""
    return tuple(dict.fromkeys((*found, *names)))


def search_tools(tools: Sequence[Tool], query: str, limit: int = _MOST_FOUND) -> list[Tool]:
    """Return the tools that fit the query, the best first; those that fit alike in their own order."""
    texts = [_weighted_words(each) for each in tools]
    mean = sum(map(len, texts)) / max(len(texts), 1) or 1.0
    counts = [Counter(words) for words in texts]
    wanted = set(_words(query))
    spread = Counter(word for each in counts for word in wanted if word in each)

    def score(number: int) -> float:
        total = 0.0
        for word in wanted:
            often = counts[number][word]
            if often:
                rarity = math.log(1 + (len(tools) - spread[word] + 0.5) / (spread[word] + 0.5))
                length = 1 - _B + _B * len(texts[number]) / mean
                total += rarity * often * (_K1 + 1) / (often + _K1 * length)
        return total

    ranked = sorted((-score(number), number) for number in range(len(tools)))
    return [tools[number] for negative, number in ranked[:limit] if negative < 0]


def _weighted_words(tool: Tool) -> list[str]:
    words = _words(f"{tool.server} {tool.name}") * _NAME_WEIGHT + _words(tool.title) * _TITLE_WEIGHT
    properties = tool.input_schema.get("properties")
    told = " ".join(properties) if isinstance(properties, dict) else ""
    return words + _words(tool.description) + _words(told)


def _words(text: str) -> list[str]:
    """Return the words, in lower case and without an ending `s`: `readFiles` is `read` and `file`."""
    return [_singular(word) for word in _WORDS.findall(_HUMP.sub(" ", text).lower())]


def _singular(word: str) -> str:
    is_plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if is_plural else word
