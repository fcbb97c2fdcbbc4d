"""One index on disk, as far as it was ever written: a generation. Blocking; callers put it into threads.

    <folder>/<namespace>/current            name of the generation that counts, swapped in one step
    <folder>/<namespace>/gen-<n>-<language> an index; another one beside it is being built, or was left behind

The language is that of most of the texts it was made for: Tantivy cuts those itself. Others are welcome.

A commit holds the chunks and, in the same breath, the mark: up to which change they follow the truth.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import tantivy

from runtime.core.errors import StoreUnavailable
from runtime.core.ids import ChunkId
from runtime.recall.lexical import check, fields
from runtime.recall.lexical.fields import Entry
from runtime.recall.lexical.words import UNKNOWN, Analyzers, known

_HEAP_BYTES = 50_000_000
"""Of one writer, taken as it fills and given back with each commit."""
_POINTER = "current"
_PREFIX = "gen-"
_NO_LANGUAGE = "any"
_UNCLEAN = "unclean"
"""A file beside the index: words of removed chunks may still be in it, until it is made anew."""


class Unusable(Exception):
    """There is no index, or it cannot be trusted; it has to be built from the truth."""


def is_of_library(problem: BaseException) -> bool:
    """Whether the library said it: its errors are ValueErrors, its panics are no Exceptions at all."""
    return isinstance(problem, ValueError | OverflowError) or type(problem).__name__ == "PanicException"


class Generation:
    """An open index: one writer while it is being written to, any number of searchers."""

    def __init__(self, folder: Path, analyzers: Analyzers, *, is_new: bool, threads: int = 1) -> None:
        """Open or make. Raises Unusable."""
        self.folder = folder
        self._language = known(folder.name.rpartition("-")[2])
        self._threads = threads
        self._analyzers = analyzers
        self._schema = fields.make_schema()
        self._writer: tantivy.IndexWriter | None = None
        if is_new:
            folder.mkdir(parents=True)
        try:
            self._index = tantivy.Index(self._schema, str(folder), reuse=not is_new)
            fields.register(self._index, self._language)
            self._index.config_reader("manual")
            self._index.reload()
            self.mark = self._read_mark()
        except (ValueError, OSError) as problem:
            raise Unusable(f"the index cannot be opened: {problem}") from problem

    @property
    def schema(self) -> tantivy.Schema:
        """What queries are built with."""
        return self._schema

    def searcher(self) -> tantivy.Searcher:
        """Return a view of the newest commit, which stays as it is."""
        return self._index.searcher()

    def languages(self, searcher: tantivy.Searcher) -> list[str]:
        """Return the languages that chunks of a view are stemmed in."""
        found = [str(name) for name, _ in searcher.terms_with_prefix("lang", "")]
        return [UNKNOWN if each == fields.UNTOLD else each for each in found if each != fields.QUARANTINED]

    def count(self) -> int:
        """Return how many chunks there are, quarantined ones too."""
        searcher = self._index.searcher()
        marks = searcher.search(tantivy.Query.term_query(self._schema, "mark", 1), limit=2, count=False).hits
        return int(searcher.num_docs) - len(marks)

    def having(self, chunks: Sequence[int]) -> int:
        """Return how many of the chunks are there."""
        if not chunks:
            return 0

        query = tantivy.Query.term_set_query(self._schema, "id", list(chunks))
        result = self.searcher().search(query, limit=1, count=True)
        return int(result.count)  # type: ignore[attr-defined]  # there, but not in the library's stubs

    def quarantined(self) -> list[ChunkId]:
        """Return the chunks that could not be taken in."""
        searcher = self.searcher()
        query = tantivy.Query.term_query(self._schema, "lang", fields.QUARANTINED)
        found = [address for _, address in searcher.search(query, limit=1000, count=False).hits]
        return [ChunkId(int(each)) for each in searcher.fast_field_values("id", found) if each is not None]

    def write(self, entries: Sequence[Entry], gone: Sequence[int], quarantine: Sequence[ChunkId]) -> None:
        """Put, replace and remove chunks; nothing of it counts before `commit`."""
        writer = self._open_writer()
        if gone:
            (self.folder / _UNCLEAN).touch()
        for chunk in (*gone, *quarantine, *(each.chunk for each in entries)):
            writer.delete_documents_by_term("id", chunk)
        for entry in entries:
            writer.add_document(fields.document_of(entry, self._language, self._analyzers))
        for chunk in quarantine:
            writer.add_document(fields.quarantined(chunk))

    def commit(self, mark: int) -> None:
        """Make what was written count, and with it that the truth was followed up to a change.

        The mark 0 is none: an index that is still being built says nothing.
        """
        writer = self._open_writer()
        if mark:
            writer.delete_documents_by_term("mark", 1)
            writer.add_document(fields.mark_of(mark))
        writer.commit()
        self._index.reload()
        self.mark = mark

    def give_up(self) -> None:
        """Forget what was written since the last commit."""
        if self._writer is None:
            return

        try:
            self._writer.rollback()
        except ValueError:
            # A killed writer cannot go back; without a commit nothing of it counts. Ending it frees the lock.
            former, self._writer = self._writer, None
            former.wait_merging_threads()

    def release(self) -> None:
        """End the writer with its threads, once running merges are done; the next write opens another."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.wait_merging_threads()
            self._index.reload()
            self._threads = 1

    @property
    def is_writing(self) -> bool:
        """Whether it holds a writer."""
        return self._writer is not None

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            try:
                self._writer = self._index.writer(_HEAP_BYTES * self._threads, self._threads)
            except ValueError as problem:
                if "lock" not in str(problem).lower():
                    raise
                raise StoreUnavailable(
                    f"The text index {self.folder} is being written by another process. One Lar owns its "
                    f"data at a time: 'lar status' shows the running one, 'lar stop' ends it. ({problem})"
                ) from problem
        return self._writer

    def _read_mark(self) -> int:
        searcher = self._index.searcher()
        hits = searcher.search(tantivy.Query.term_query(self._schema, "mark", 1), limit=2, count=False).hits
        seqs = searcher.fast_field_values("seq", [address for _, address in hits])
        return max((int(each) for each in seqs if each is not None), default=0)


def current(home: Path) -> Path | None:
    """Return the folder of the generation that counts; None where there is none."""
    try:
        name = (home / _POINTER).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None

    folder = home / name
    return folder if name.startswith(_PREFIX) and "/" not in name and folder.is_dir() else None


def was_made(home: Path) -> bool:
    """Whether a generation has ever counted; a first one that a kill left unfinished has not."""
    return (home / _POINTER).exists()


def open_current(home: Path, analyzers: Analyzers) -> Generation:
    """Open the generation that counts, every byte of it checked. Raises Unusable."""
    folder = current(home)
    if folder is None:
        raise Unusable("there is no index")

    if wrong := check.damage(folder):
        raise Unusable("; ".join(wrong))

    return Generation(folder, analyzers, is_new=False)


def next_folder(home: Path, language: str) -> Path:
    """Return where the next generation is to be built; leftovers of one that was not finished go."""
    counting = current(home)
    for path in home.glob(f"{_PREFIX}*"):
        if path != counting:
            shutil.rmtree(path)
    number = int(counting.name.split("-")[1]) + 1 if counting else 1
    return home / f"{_PREFIX}{number}-{known(language) or _NO_LANGUAGE}"


def make_current(home: Path, folder: Path) -> None:
    """Let another generation count from now on, in one step that survives a crash; the former one goes."""
    aside = home / f"{_POINTER}.new"
    with aside.open("w", encoding="ascii") as file:
        file.write(folder.name)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(home / _POINTER)
    descriptor = os.open(home, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for path in home.glob(f"{_PREFIX}*"):
        if path != folder:
            shutil.rmtree(path)


def is_unclean(home: Path) -> bool:
    """Whether words of removed chunks may still lie in the files of a namespace."""
    folder = current(home)
    return folder is not None and (folder / _UNCLEAN).exists()


def remove(home: Path) -> None:
    """Remove the index of a namespace with all its generations."""
    if home.exists():
        (home / _POINTER).unlink(missing_ok=True)
        shutil.rmtree(home)
