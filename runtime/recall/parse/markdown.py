"""Markdown: the text stays as it is, headings make its sections, the front matter may name it.

Headings inside fenced code are none.
"""

import re

from runtime.recall.parse.draft import Draft, clean, one_line, sections_of
from runtime.recall.parse.plain import decoded
from runtime.recall.parse.source import Source
from runtime.recall.parts import Parsed

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)??(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_FRONT_CHARACTERS = 20_000
_NO_PARAGRAPH = re.compile(r" {0,3}(?:>|[-*+] |\d+[.)] |\||#|`{3}|~{3})| {4}|\t")
"""Lines that `---` below does not turn into a heading."""
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_MARKS = re.compile(r"[*_`~]{1,3}(?=\S)|(?<=\S)[*_`~]{1,3}")
_INSIDE_WORD = re.compile(r"\w[_]\w")


def read(source: Source) -> Parsed:
    """Read Markdown."""
    decoding = decoded(source)
    draft = Draft(source.limits)
    if decoding.note:
        draft.note(decoding.note)
    draft.whole(decoding.text)
    parsed = draft.parsed(source.media_type)
    return outlined(parsed)


def outlined(parsed: Parsed) -> Parsed:
    """Return a text of Markdown with its sections and its title."""
    text = parsed.text
    front = _FRONT_MATTER.match(text[:_FRONT_CHARACTERS])
    title = _front_title(front.group(1) or "") if front else ""
    marks: list[tuple[int, tuple[str, ...]]] = []
    path: list[tuple[int, str]] = []
    for start, level, name in _headings(text, front.end() if front else 0):
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, name))
        title = title or (name if level == 1 else "")
        marks.append((start, tuple(each for _, each in path)))
    return parsed._replace(title=title, sections=sections_of(marks, len(text)) if marks else ())


def _front_title(front: str) -> str:
    found = _FRONT_TITLE.search(front)
    return one_line(found.group(1).strip("\"'")) if found else ""


def _headings(text: str, start: int) -> list[tuple[int, int, str]]:
    """Return where each heading begins, its level and its words."""
    found: list[tuple[int, int, str]] = []
    fence = ""
    before, before_at = "", start
    at = start
    for line in text[start:].split("\n"):
        fenced = _FENCE.match(line)
        if fence:
            if fenced and fenced.group(1).startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            before = ""
        elif fenced:
            fence, before = fenced.group(1), ""
        else:
            heading = _heading(line, before)
            if heading is not None:
                level, words, is_underline = heading
                if words:
                    found.append((before_at if is_underline else at, level, words))
                before = ""
            else:
                before, before_at = line, at
        at += len(line) + 1
    return found


def _heading(line: str, before: str) -> tuple[int, str, bool] | None:
    """Return level and words of a heading, and whether the line underlines the one before."""
    atx = _ATX.match(line)
    if atx:
        return len(atx.group(1)), _bare(atx.group(2) or ""), False
    underline = _SETEXT.match(line)
    if underline and before.strip() and not _NO_PARAGRAPH.match(before):
        return (1 if underline.group(1)[0] == "=" else 2), _bare(before), True
    return None


def _bare(words: str) -> str:
    """Return a heading without the marks of links and emphasis."""
    bare = _LINK.sub(r"\1", words)
    if not _INSIDE_WORD.search(bare):
        bare = _MARKS.sub("", bare)
    return one_line(clean(bare))
