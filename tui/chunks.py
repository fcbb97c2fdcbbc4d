"""Cuts growing Markdown into pieces that will not change any more, and a tail that may. Pure.

A piece ends at a blank line outside a fence, once the line after it shows that it begins something new
(not another item or an indented part of a list), or at the end of a fence that is not indented. Text that
grows only adds cuts, so a piece is laid out once.
"""

import re
from itertools import pairwise

_FENCE = re.compile(r"(`{3,}|~{3,})")
_CONTINUES = re.compile(r"[ \t]|[-*+][ \t]|\d{1,9}[.)][ \t]")
_UNSURE = frozenset(" \t-*+0123456789")


def split_chunks(text: str) -> list[str]:
    """Return the pieces in order; joined they are the text. The last one may still change."""
    cuts = _cuts(text)
    edges = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(edges) if end > start]


def _cuts(text: str) -> list[int]:
    cuts: list[int] = []
    fence = ""
    is_after_blank = False
    position = 0
    for line in text.splitlines(keepends=True):
        following = position + len(line)
        is_whole = line.endswith("\n")
        if fence:
            if is_whole and _closes(line, fence):
                fence = ""
                cuts.append(following)
        elif not line.strip():
            is_after_blank = is_whole
        else:
            if is_after_blank and _begins_anew(line, is_whole):
                cuts.append(position)
            is_after_blank = False
            fence = _opened(line)
        position = following
    return [cut for cut in dict.fromkeys(cuts) if 0 < cut < len(text)]


def _begins_anew(line: str, is_whole: bool) -> bool:
    if line[0] not in _UNSURE:
        return True
    return is_whole and _CONTINUES.match(line) is None


def _opened(line: str) -> str:
    found = _FENCE.match(line)
    return found.group() if found else ""


def _closes(line: str, fence: str) -> bool:
    mark = line.strip()
    return not line.startswith(" ") and len(mark) >= len(fence) and set(mark) == {fence[0]}
