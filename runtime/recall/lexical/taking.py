"""Takes a page of changes into an index: everything in one commit, and no chunk can hold up the others.

A chunk that the library cannot take is found by halving, named, and put aside: it is counted, it has no
words. A disk that fails is not mistaken for it: before a chunk is blamed, an empty commit must succeed.
"""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.core.errors import Fault, StoreDamaged
from runtime.core.ids import ChunkId
from runtime.recall.lexical.fields import Entry
from runtime.recall.lexical.generation import Generation, is_of_library


class Refused(NamedTuple):
    """A chunk that the index cannot take."""

    chunk: ChunkId
    why: str


def take_in(
    generation: Generation, entries: Sequence[Entry], gone: Sequence[int], mark: int
) -> list[Refused]:
    """Put and remove chunks and commit with the mark; return which were put aside.

    Raises StoreDamaged where the index cannot be written at all.
    """
    if _wrong(generation, entries, gone, mark) is None:
        return []

    refused = _sift(generation, entries)
    wrong = _wrong(generation, [], gone, mark, [each.chunk for each in refused])
    if wrong is not None:
        raise _damaged(generation, wrong)

    return refused


def _sift(generation: Generation, entries: Sequence[Entry]) -> list[Refused]:
    wrong = _wrong(generation, entries, [], generation.mark) if entries else None
    if wrong is None:
        return []

    if len(entries) > 1:
        middle = len(entries) // 2
        return _sift(generation, entries[:middle]) + _sift(generation, entries[middle:])

    if _wrong(generation, [], [], generation.mark) is not None:
        raise _damaged(generation, wrong)

    return [Refused(entries[0].chunk, str(wrong))]


def _wrong(
    generation: Generation,
    entries: Sequence[Entry],
    gone: Sequence[int],
    mark: int,
    quarantine: Sequence[ChunkId] = (),
) -> BaseException | None:
    """Write and commit; return what the library said against it, with nothing written."""
    try:
        generation.write(entries, gone, quarantine)
        generation.commit(mark)
    except BaseException as problem:
        generation.give_up()
        if not is_of_library(problem):
            raise

        return problem.with_traceback(None)  # its frames hold the writer

    return None


def _damaged(generation: Generation, problem: BaseException) -> StoreDamaged:
    return StoreDamaged(
        Fault(
            code="store_damaged",
            message=f"The text index {generation.folder} cannot be written: {problem}. Make room on disk, "
            "or remove the folder: Lar makes it anew from its database.",
        )
    )
