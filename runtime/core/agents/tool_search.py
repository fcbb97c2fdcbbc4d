"""Finds tools by words: rare words count more, words of a name count thrice. Pure."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from runtime.core.agents.plans import PlannedTool

_CASE_CHANGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+")
_NAME_WEIGHT = 3.0
_SHORTEST_STEM = 4


def find_tools(tools: Sequence[PlannedTool], query: str, limit: int) -> list[PlannedTool]:
    """Return the tools that share words with a query, the best first, so many at most."""
    wanted = set(_words(query))
    documents = [(set(_words(f"{each.name} {each.tool}")), set(_words(each.description))) for each in tools]
    frequency = Counter(word for name, told in documents for word in name | told)
    scored = []
    for place, (name, told) in enumerate(documents):
        score = 0.0
        for word in wanted:
            weight = math.log(1.0 + len(documents) / (frequency[word] or len(documents)))
            score += weight * (_NAME_WEIGHT * (word in name) + (word in told))
        if score > 0:
            scored.append((-score, place))
    return [tools[place] for _, place in sorted(scored)[: max(0, limit)]]


def _words(text: str) -> list[str]:
    """Return the words of a text, plurals and singulars alike."""
    words = _WORD.findall(_CASE_CHANGE.sub(" ", text).lower())
    return [each[:-1] if len(each) > _SHORTEST_STEM and each.endswith("s") else each for each in words]
