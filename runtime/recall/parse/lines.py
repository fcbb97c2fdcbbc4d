"""Lines as they are set on a page, joined again into paragraphs. Pure."""

import re

_SENTENCE_ENDS = re.compile(r"[.!?:;\u3002\uff01\uff1f\u2026][\"'\u201d\u2019»)\]]*$")
_FULL_SHARE = 0.75
"""A line this long, by the long lines of its page, was broken by the margin and not by its writer."""
_ITEM = re.compile(r"\s*(?:[-*\u2022\u2013\u25aa\u25e6\u00b7]|\(?\d{1,3}[.)]|[a-z]\))\s")


def reflow(text: str) -> str:
    """Return the text of a page with lines joined that a margin broke, paragraphs apart by an empty line."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    widths = sorted(len(line) for line in lines if line.strip())
    if not widths:
        return ""

    full = widths[int(len(widths) * 0.9)] * _FULL_SHARE
    parts: list[str] = []
    before = ""
    for line in lines:
        if parts:
            parts.append(_between(before, line, full))
        parts.append(line)
        before = line
    return "".join(parts)


def _between(before: str, line: str, full: float) -> str:
    """Return what stands between two lines."""
    if not before or not line:
        return "\n"
    if _ITEM.match(line):
        return "\n"
    is_sentence_over = _SENTENCE_ENDS.search(before) is not None
    if len(before) >= full:
        return " "
    return "\n\n" if is_sentence_over else "\n"
