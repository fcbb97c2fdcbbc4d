"""Many tools: above a share of the context their definitions give way to one tool that finds them. Pure.

The ranking is BM25 over names, which count most, descriptions and names of arguments. What was found once
stays shown, after what was shown before (`builtins.decide_shown`): a prompt stays a prefix of the next.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from runtime.core.agents.builtins import SEARCH_TOOLS
from runtime.core.agents.plans import PlannedTool

_CHARACTERS_PER_TOKEN = 3.5
"""Of definitions, which are mostly JSON and English; a little less than models really need."""
_K1, _B = 1.2, 0.75
"""The usual constants of BM25."""
_NAME_WEIGHT = 4
"""A word in a tool's name says more about it than one in its description."""
_SHORTEST_PLURAL = 4
_WORDS = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def find_tools(tools: Sequence[PlannedTool], query: str, limit: int) -> list[PlannedTool]:
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
    return [tools[number] for negative, number in ranked[: max(0, limit)] if negative < 0]


def estimate_tokens(tool: PlannedTool) -> int:
    """Estimate how much of a context a definition takes."""
    text = len(tool.name) + len(tool.description)
    schema = len(json.dumps(tool.parameters or {}, separators=(",", ":"), ensure_ascii=False))
    return math.ceil((text + schema) / _CHARACTERS_PER_TOKEN)


def defer_many(
    tools: Sequence[PlannedTool], context_tokens: int | None, share: float
) -> tuple[PlannedTool, ...]:
    """Return the tools of a plan, those of servers deferred where they take more than their share.

    Where anything is deferred, the search is there.
    """
    found = list(tools)
    servers = [each for each in found if each.executor == "hub" and not each.is_deferred]
    if (
        context_tokens is not None
        and share > 0
        and sum(map(estimate_tokens, servers)) > context_tokens * share
    ):
        found = [
            msgspec.structs.replace(each, is_deferred=True) if each.executor == "hub" else each
            for each in found
        ]
    is_searched = any(each.is_deferred for each in found)
    if is_searched and all(each.name != SEARCH_TOOLS.name for each in found):
        found.append(SEARCH_TOOLS)
    return tuple(found)


def _weighted_words(tool: PlannedTool) -> list[str]:
    own = tool.tool or tool.name
    words = _words(f"{tool.server} {own}") * _NAME_WEIGHT
    properties = (tool.parameters or {}).get("properties")
    told = " ".join(map(str, properties)) if isinstance(properties, dict) else ""
    return words + _words(tool.description) + _words(told)


def _words(text: str) -> list[str]:
    """Return the words, in lower case and without an ending `s`: `readFiles` is `read` and `file`."""
    return [_singular(word) for word in _WORDS.findall(_HUMP.sub(" ", text).lower())]


def _singular(word: str) -> str:
    is_plural = len(word) >= _SHORTEST_PLURAL and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if is_plural else word
