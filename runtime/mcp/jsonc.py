"""JSON as people write it into settings: with comments and commas too many. Pure."""

import json
from typing import Any


def parse_jsonc(text: str) -> Any:
    """Return what the text holds. Raises ValueError with line and column."""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(plain_json(text))


def plain_json(text: str) -> str:
    """Put spaces in the place of comments and trailing commas, so that lines and columns stay true."""
    kept: list[str] = []
    comma: int | None = None
    place = 0
    while place < len(text):
        end, is_blank = _token(text, place)
        piece = text[place:end]
        if is_blank:
            kept.append("".join("\n" if each == "\n" else " " for each in piece))
        else:
            if piece in "]}" and comma is not None:
                kept[comma] = " "
            comma = len(kept) if piece == "," else None
            kept.append(piece)
        place = end
    return "".join(kept)


def _token(text: str, start: int) -> tuple[int, bool]:
    """Return the end of what begins at `start`, and whether it means nothing."""
    if text.startswith("//", start):
        end = text.find("\n", start)
        return (len(text) if end < 0 else end), True

    if text.startswith("/*", start):
        end = text.find("*/", start + 2)
        return (len(text) if end < 0 else end + 2), True

    if text[start] == '"':
        end = start + 1
        while end < len(text) and text[end] != '"':
            end += 2 if text[end] == "\\" else 1
        return min(end + 1, len(text)), False
    return start + 1, text[start].isspace()
