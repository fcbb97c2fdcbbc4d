"""Where an answer's words come from: marks that models leave, held against what was found in the run. Pure.

    [report.pdf]   【3†report.pdf】   [2] or (2), of the last search   https://example.org/page
A mark that nothing was found for is no citation. Places are characters of the text, which stays as it is.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from runtime.core.agents.fold import RunState
from runtime.core.agents.items import Answered, Citation

Cite = Callable[[str], Sequence[Citation]]
_FORMS = ("file_search", "web_search")
_BRACKETS = re.compile(r"\[([^\[\]\n]{1,300})\](\()?")
_LENTICULAR = re.compile(r"【(?:\d{1,4}:)?(\d{1,4})?(?:†([^】\n]{0,300}))?】")
_NUMBER = re.compile(r"\((\d{1,3})\)")
_GOES_ON = re.compile(r"[\w/%#?&=~+-]|[.,:;!@][\w/]")
"""What behind an address belongs to it: then it is another address."""
_LINK = re.compile(r"\[[^\[\]\n]{0,300}\]\($")


class Source(NamedTuple):
    """One passage or page that was found."""

    file_id: str = ""
    filename: str = ""
    url: str = ""
    title: str = ""


class Sources(NamedTuple):
    """All that was found in a run."""

    every: tuple[Source, ...] = ()
    last: tuple[Source, ...] = ()
    """By the last search, in the order of its numbers."""


class _Mark(NamedTuple):
    start: int
    end: int
    source: Source


def sources_of(state: RunState) -> Sources:
    """Return what searches of the run have found so far."""
    every: dict[Source, None] = {}
    last: tuple[Source, ...] = ()
    for place in state.places:
        found = _found(place.result) if place.result is not None else ()
        every |= dict.fromkeys(found)
        last = found or last
    return Sources(tuple(every), last)


def citer_of(sources: Sources) -> Cite | None:
    """Return what cites these sources; None where there are none."""
    return (lambda text: cite(text, sources)) if sources.every else None


def cite(text: str, sources: Sources) -> tuple[Citation, ...]:
    """Return the citations of a text, in its order; where marks overlap, the first and longest counts."""
    marks = [*_named(text, sources), *_numbered(text, sources), *_addressed(text, sources)]
    kept: list[_Mark] = []
    for mark in sorted(marks, key=lambda each: (each.start, -each.end)):
        if not kept or mark.start >= kept[-1].end:
            kept.append(mark)
    return tuple(_citation(each) for each in kept)


def _found(result: Answered) -> tuple[Source, ...]:
    structured = result.structured
    if result.form not in _FORMS or result.is_error or not isinstance(structured, dict):
        return ()
    results = structured.get("results")
    listed = results if isinstance(results, list | tuple) else ()
    return tuple(_source(each) for each in listed if isinstance(each, dict))


def _source(told: dict[str, object]) -> Source:
    return Source(
        file_id=str(told.get("file_id") or ""),
        filename=str(told.get("filename") or ""),
        url=str(told.get("url") or ""),
        title=str(told.get("title") or ""),
    )


def _named(text: str, sources: Sources) -> list[_Mark]:
    """Find marks that say a file's name, or a number in the same brackets."""
    marks: list[_Mark] = []
    for found in _BRACKETS.finditer(text):
        if found[2]:
            continue  # a link: its address is what counts
        source = _by_name(found[1], sources) or _by_number(found[1], sources)
        if source is not None:
            marks.append(_Mark(found.start(), found.end(), source))
    for found in _LENTICULAR.finditer(text):
        source = _by_name(found[2] or "", sources) or _by_number(found[1] or "", sources)
        if source is not None:
            marks.append(_Mark(found.start(), found.end(), source))
    return marks


def _numbered(text: str, sources: Sources) -> list[_Mark]:
    """Find numbers in round brackets behind words; at the head of a line they count a list."""
    marks: list[_Mark] = []
    for found in _NUMBER.finditer(text):
        source = _by_number(found[1], sources)
        is_behind = bool(text[: found.start()].rpartition("\n")[2].strip())
        if source is not None and is_behind:
            marks.append(_Mark(found.start(), found.end(), source))
    return marks


def _addressed(text: str, sources: Sources) -> list[_Mark]:
    marks: list[_Mark] = []
    for source in sources.every:
        at = text.find(source.url) if source.url else -1
        while at >= 0:
            end = at + len(source.url)
            if not _GOES_ON.match(text, end):
                marks.append(_linked(text, at, end, source))
            at = text.find(source.url, end)
    return marks


def _linked(text: str, start: int, end: int, source: Source) -> _Mark:
    """Return the mark of an address; of a link, with its words."""
    link = _LINK.search(text, max(0, start - 310), start)
    if link is not None and text[end : end + 1] == ")":
        return _Mark(link.start(), end + 1, source)
    return _Mark(start, end, source)


def _by_name(name: str, sources: Sources) -> Source | None:
    wanted = name.strip().casefold()
    if not wanted:
        return None
    known = (each for each in sources.every if each.filename)
    return next((each for each in known if each.filename.casefold() == wanted), None)


def _by_number(number: str, sources: Sources) -> Source | None:
    place = int(number) if number.isascii() and number.isdigit() and len(number) < 5 else 0
    return sources.last[place - 1] if 1 <= place <= len(sources.last) else None


def _citation(mark: _Mark) -> Citation:
    source = mark.source
    if source.url:
        return Citation(url=source.url, title=source.title or source.url, start=mark.start, end=mark.end)
    return Citation(index=mark.start, file_id=source.file_id, filename=source.filename)
