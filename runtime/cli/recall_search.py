"""`lar recall search`: hits with where they come from, and the words that were found in them."""

import argparse
import os
import sys
from typing import NamedTuple

from runtime.api.remote.recall import RemoteRecall
from runtime.cli.output import EXIT_USAGE, CommandFailed, notice, say, say_json
from runtime.cli.recall_calls import TENANT, clean, counted, one_line, with_recall
from runtime.cli.recall_words import all_of
from runtime.core.ids import CollectionId
from runtime.core.knowledge import ArmScores, Found, Hit, Query, Span, StoredChunk
from runtime.core.memories import FoundItem, Scope

_SHOWN = 320
"""Characters of a hit."""
_LEAD = 80
"""Of them before the first word that was found."""
_ON, _OFF = "\ue000", "\ue001"
"""Marks that no text of a person has, until they become the terminal's own."""


class Marks(NamedTuple):
    """How found words are set off."""

    on: str
    off: str


def search(chosen: argparse.Namespace) -> int:
    """Print hits; none is no failure."""
    query = query_of(chosen)
    if chosen.memory:
        return _search_memory(chosen, query)

    found = with_recall(lambda recall: recall.searcher.search(TENANT, query))
    if chosen.json:
        say_json(found)
    else:
        show_found(found, marks_for_output(), is_explained=chosen.explain)
    return 0


def query_of(chosen: argparse.Namespace) -> Query:
    """Return the search that the options tell. Raises CommandFailed where a number is out of bounds."""
    if not 1 <= chosen.limit <= 1000:
        raise CommandFailed("--limit is a number from 1 to 1000.", EXIT_USAGE)

    return Query(
        text=" ".join(chosen.text),
        collections=tuple(CollectionId(each) for each in chosen.collection),
        limit=chosen.limit,
        offset=getattr(chosen, "offset", 0),
        arm=getattr(chosen, "arm", "hybrid"),
        where=all_of(chosen.filter),
        tags=tuple(chosen.tag),
        threshold=getattr(chosen, "threshold", 0.0),
        rerank=getattr(chosen, "rerank", "auto"),
        neighbours=min(getattr(chosen, "neighbours", 0), 20),
        is_explained=getattr(chosen, "explain", False),
    )


def scope_of(chosen: argparse.Namespace) -> Scope | None:
    """Return the scope that the options tell; None: all of them."""
    scope = Scope(user=chosen.user, agent=chosen.agent, session=chosen.session)
    return None if scope == Scope() else scope


def _search_memory(chosen: argparse.Namespace, query: Query) -> int:
    async def work(recall: RemoteRecall) -> list[FoundItem]:
        return await recall.memories.search(TENANT, query, scope_of(chosen))

    items = with_recall(work)
    if chosen.json:
        say_json(items)
        return 0

    for each in items:
        say(f"{each.score:.2f}  {each.item.id}  {each.item.kind}")
        say(f"      {one_line(each.item.text, _SHOWN)}")
    if not items:
        notice("Nothing is remembered about that.")
    return 0


def marks_for_output() -> Marks:
    """Return how found words are set off where stdout goes: bold on a terminal, not at all in a pipe."""
    is_plain = not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))
    return Marks("", "") if is_plain else Marks("\x1b[1;33m", "\x1b[0m")


def show_found(found: Found, marks: Marks, *, is_explained: bool) -> None:
    """Print hits, and what the searcher had to say."""
    for number, hit in enumerate(found.hits, start=1):
        say(f"{number:>3}  {hit.score:.2f}  {origin(hit)}")
        for chunk in hit.before:
            say(f"     … {_whole(chunk)}")
        say(f"     {snippet(hit.chunk.text, hit.highlights, marks)}")
        for chunk in hit.after:
            say(f"     … {_whole(chunk)}")
        if is_explained and hit.scores is not None:
            say(f"     {explain(hit.scores)}")
    for note in found.notes:
        notice(f"! {clean(note)}")
    if not found.hits:
        notice("Nothing was found.")
    elif found.is_more:
        notice(f"{counted(len(found.hits), 'hit')} shown, there are more: --limit, --offset.")


def origin(hit: Hit) -> str:
    """Tell where a hit comes from: `Minutes > Kitchen > Tea  minutes.md  doc_…`."""
    document = hit.document
    path = [document.title, *hit.chunk.heading] if document.title else [*hit.chunk.heading]
    titles = [each for place, each in enumerate(path) if each and each not in path[:place]]
    words = " > ".join(one_line(each, 80) for each in titles)
    place = one_line(document.uri or document.name, 120)
    return "  ".join(each for each in (words, place, str(document.id)) if each)


def snippet(text: str, highlights: tuple[Span, ...], marks: Marks) -> str:
    """Return what of a text is worth reading on one line, the found words set off."""
    pieces, at = [], 0
    for span in highlights:
        if at <= span.start < span.end <= len(text):
            pieces += [text[at : span.start], _ON, text[span.start : span.end], _OFF]
            at = span.end
    marked = "".join(pieces) + text[at:]
    line = " ".join(clean(marked).split())
    first = max(0, line.find(_ON) - _LEAD) if _ON in line else 0
    shown = line[first : first + _SHOWN]
    if shown.rfind(_ON) > shown.rfind(_OFF):
        shown += _OFF
    before, after = "…" if first else "", "…" if first + _SHOWN < len(line) else ""
    return f"{before}{shown}{after}".replace(_ON, marks.on).replace(_OFF, marks.off)


def explain(scores: ArmScores) -> str:
    """Tell in one line how a score came about."""
    parts = [
        f"words {scores.text:.2f} (rank {scores.text_rank})" if scores.text is not None else "no words",
        f"meaning {scores.vector:.3f} (rank {scores.vector_rank})"
        if scores.vector is not None
        else "no meaning",
        f"normalised {scores.text_normalised:.2f}/{scores.vector_normalised:.2f}",
        f"share of meaning {scores.vector_weight:.2f}",
    ]
    extras = {"recency": scores.recency, "importance": scores.importance, "reranked": scores.rerank}
    parts += [f"{name} {value:.3f}" for name, value in extras.items() if value is not None]
    return " · ".join(parts)


def _whole(chunk: StoredChunk) -> str:
    return one_line(chunk.text, _SHOWN)
