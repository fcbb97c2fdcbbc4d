"""What the text index reads from the truth. Each page is one statement, so it is one state of the truth."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from runtime.core.ids import ChunkId
from runtime.recall.lexical.fields import Entry
from runtime.recall.truth import LEAVING_NAMESPACE, WHOLE_NAMESPACE, Truth

PAGE = 2000
"""Changes of one commit when there is much to catch up with."""
BUILD_PAGE = 5000

_CHANGES = """
WITH page AS (
    SELECT chunk, max(seq) AS seq, count(*) AS changes, bool_or(op = 'drop') AS is_drop
    FROM (
        SELECT seq, chunk, op FROM change WHERE ns = $1 AND seq > $2 AND op <> 'vector' ORDER BY seq LIMIT $3
    )
    GROUP BY chunk
), alive AS (
    SELECT chunk.id, chunk.text, chunk.heading, document.title, document.name, document.language
    FROM chunk LEFT JOIN document ON document.id = chunk.document
    WHERE chunk.ns = $1 AND chunk.id BETWEEN (SELECT min(chunk) FROM page) AND (SELECT max(chunk) FROM page)
        AND chunk.id IN (SELECT chunk FROM page)
)
SELECT newest.seq, page.chunk, page.seq, page.changes, page.is_drop,
    alive.text, alive.heading, alive.title, alive.name, alive.language
FROM (SELECT coalesce(max(seq), 0) AS seq FROM change WHERE ns = $1) AS newest
LEFT JOIN page ON true LEFT JOIN alive ON alive.id = page.chunk
"""
_START = """
SELECT (SELECT coalesce(max(seq), 0) FROM change), coalesce((
    SELECT document.language FROM chunk JOIN document ON document.id = chunk.document WHERE chunk.ns = $1
    GROUP BY document.language ORDER BY count(*) DESC LIMIT 1
), '')
"""
_STAYS = f"'{LEAVING_NAMESPACE}' || ns NOT IN (SELECT name FROM note)"  # noqa: S608 - a constant
"""Of a large namespace that was removed the chunks go in steps."""
_ROWS = """
SELECT chunk.id, chunk.text, chunk.heading, document.title, document.name, document.language
FROM chunk LEFT JOIN document ON document.id = chunk.document
WHERE chunk.ns = $1 AND chunk.id > $2 ORDER BY chunk.id LIMIT $3
"""


class Page(NamedTuple):
    """Changes of a namespace, with what the chunks are now."""

    entries: list[Entry]
    gone: list[ChunkId]
    is_drop: bool
    """Whether the namespace as a whole was removed in between."""
    upto: int
    """The change up to which an index has followed that took all of it in."""
    is_last: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write: only vectors came."""
        return not self.entries and not self.gone and not self.is_drop


class Start(NamedTuple):
    """From where an index that is made anew has to follow."""

    mark: int
    language: str
    """Of most chunks."""


async def changes(truth: Truth, ns: int, after: int) -> Page:
    """Return the next changes of a namespace."""
    rows = await truth.read(_CHANGES, [ns, after, PAGE])
    newest = int(rows[0][0])
    changed = [row for row in rows if row[1] is not None]
    entries = [_entry(row[1], *row[5:]) for row in changed if row[5] is not None]
    gone = [ChunkId(row[1]) for row in changed if row[5] is None and row[1] != WHOLE_NAMESPACE]
    is_last = sum(int(row[3]) for row in changed) < PAGE
    upto = newest if is_last else max(int(row[2]) for row in changed)
    return Page(entries, gone, any(row[4] for row in changed), max(upto, after), is_last)


async def start(truth: Truth, ns: int) -> Start:
    """Return what to begin an index with; read before its rows, so that no change falls in between."""
    ((mark, language),) = await truth.read(_START, [ns])
    return Start(int(mark), str(language))


async def rows(truth: Truth, ns: int, after: int, limit: int = BUILD_PAGE) -> list[Entry]:
    """Return the next chunks of a namespace by their number."""
    found = await truth.read(_ROWS, [ns, after, limit])
    return [_entry(*row) for row in found]


async def namespaces(truth: Truth) -> set[int]:
    """Return the namespaces that hold chunks."""
    return {int(row[0]) for row in await truth.read(f"SELECT DISTINCT ns FROM chunk WHERE {_STAYS}")}  # noqa: S608 - constants


async def known_namespaces(truth: Truth) -> set[int]:
    """Return the namespaces that are not gone."""
    sql = f"SELECT ns FROM collection UNION SELECT ns FROM chunk WHERE {_STAYS}"  # noqa: S608 - constants
    return {int(row[0]) for row in await truth.read(sql)}


async def newest(truth: Truth) -> int:
    """Return the newest change of all that is committed."""
    ((seq,),) = await truth.read("SELECT coalesce(max(seq), 0) FROM change")
    return int(seq)


class Sample(NamedTuple):
    """What a namespace holds."""

    total: int
    reached: int
    """The newest change that concerns words."""
    chunks: list[int]
    """Some of its chunks, others each time that something was written."""


async def sample(truth: Truth, ns: int, size: int) -> Sample:
    """Return what the index of a namespace has to agree with."""
    found = await truth.read(
        "SELECT (SELECT count(*) FROM chunk WHERE ns = $1), "
        "(SELECT coalesce(max(seq), 0) FROM change WHERE ns = $1 AND op <> 'vector'), "
        "(SELECT list(id) FROM (SELECT id FROM chunk WHERE ns = $1 ORDER BY hash(id + $3) LIMIT $2))",
        [ns, size, truth.newest],
    )
    count, reached, ids = found[0]
    return Sample(int(count), int(reached), [int(each) for each in ids or []])


def _entry(
    chunk: int, text: str, heading: str, title: str | None, name: str | None, language: str | None
) -> Entry:
    return Entry(ChunkId(chunk), text, _titles(title, name, heading), language or "")


def _titles(title: str | None, name: str | None, heading: str) -> tuple[str, ...]:
    """Return what stands above a chunk, each once: its document's title, or name, and the headings."""
    found: Sequence[Any] = json.loads(heading) if heading else []
    return tuple(
        dict.fromkeys(each for each in (title or name or "", *(str(each) for each in found)) if each)
    )
