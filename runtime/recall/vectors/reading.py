"""Reads vectors from the truth: all of a namespace in one space, or what changed since.

Works on a cursor whose reads all see one commit (`Database.read_snapshot`), in pages: half a million vectors
are never Python objects at the same time. Blobs that are no vector of the space are left out and counted:
they must not keep the others from being found.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np

from runtime.recall.following import changes_after, newest_seq
from runtime.recall.parts import Ids
from runtime.recall.vectors.segment import Halves, MakeSegment, normalised
from runtime.recall.vectors.shard import Shard

logger = logging.getLogger(__name__)

_PAGE_ROWS = 2048
"""Rows made Python objects at a time: 2 ms, so that the event loop gets its turns."""
_HALF_BYTES = 2


class Loaded(NamedTuple):
    """A shard as of a commit."""

    shard: Shard
    followed: int


class Delta(NamedTuple):
    """What changed in a shard until a commit."""

    removed: Ids
    ids: Ids
    vectors: Halves
    followed: int


def load_shard(cursor: duckdb.DuckDBPyConnection, ns: int, space: int, make_segment: MakeSegment) -> Loaded:
    """Read all vectors of a namespace in a space."""
    followed = newest_seq(cursor)
    row = cursor.execute("SELECT count(*) FROM vector WHERE ns = $1 AND space = $2", [ns, space]).fetchone()
    assert row is not None, "an aggregate always has a row"
    dimensions = _dimensions(cursor, ns, space)
    shard = Shard(make_segment(max(dimensions, 1), int(row[0])))
    cursor.execute("SELECT chunk, e FROM vector WHERE ns = $1 AND space = $2", [ns, space])
    nothing: Ids = np.empty(0, np.int64)
    for rows in _pages(cursor):
        ids, vectors = _vectors(rows, dimensions)
        shard.apply(nothing, ids, vectors)
    return Loaded(shard, followed)


def read_delta(
    cursor: duckdb.DuckDBPyConnection, ns: int, space: int, dimensions: int, followed: int
) -> Delta | None:
    """Read what changed after a seq, as it is now; None where the shard has to be loaded anew."""
    changes = changes_after(cursor, ns, followed, ("put", "remove", "vector"))
    if changes is None:
        return None

    ids: list[Ids] = [np.empty(0, np.int64)]
    vectors: list[Halves] = [np.empty((0, dimensions), np.float16)]
    if changes.chunks:
        cursor.execute(
            "SELECT chunk, e FROM vector WHERE space = $1 AND chunk IN (SELECT unnest($2::BIGINT[]))",
            [space, changes.chunks],
        )
        for rows in _pages(cursor):
            page_ids, page_vectors = _vectors(rows, dimensions)
            ids.append(page_ids)
            vectors.append(page_vectors)
    all_ids = np.concatenate(ids)
    removed = np.setdiff1d(np.array(changes.chunks, np.int64), all_ids, assume_unique=True)
    return Delta(removed, all_ids, np.concatenate(vectors), changes.newest)


def _pages(cursor: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    while rows := cursor.fetchmany(_PAGE_ROWS):
        yield rows


def _dimensions(cursor: duckdb.DuckDBPyConnection, ns: int, space: int) -> int:
    """Return how many parts a space's vectors have: by its row, else as most of them; 0 before the first."""
    row = cursor.execute("SELECT dimensions FROM space WHERE id = $1", [space]).fetchone()
    if row is not None and row[0]:
        return int(row[0])

    row = cursor.execute(
        "SELECT octet_length(e) FROM vector WHERE ns = $1 AND space = $2 "
        "GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
        [ns, space],
    ).fetchone()
    return int(row[0]) // _HALF_BYTES if row is not None else 0


def _vectors(rows: Sequence[tuple[Any, ...]], dimensions: int) -> tuple[Ids, Halves]:
    """Return the ids and the normalised vectors of rows of (id, blob)."""
    size = dimensions * _HALF_BYTES
    good = [row for row in rows if len(row[1]) == size]
    ids = np.array([row[0] for row in good], np.int64)
    halves = np.frombuffer(b"".join([row[1] for row in good]), "<f2").reshape(len(good), dimensions)
    vectors, has_direction = normalised(halves)
    if len(good) < len(rows) or not has_direction.all():
        logger.warning(
            "stored vectors that are none are left out of searches",
            extra={"wrong_length": len(rows) - len(good), "no_direction": int((~has_direction).sum())},
        )
    return ids[has_direction], vectors[has_direction]
