"""The documents of one namespace as columns, and which document each chunk is of: what filters look at.

Rows are numbered as documents come and are not used again, so that what a search was given stays as it is
while the table goes on. Clocks that are not set are endless ones: comparing needs no second look.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from runtime.core.filters import Attributes, Scalar
from runtime.recall.columns_attributes import AttributeColumn, Dictionary
from runtime.recall.parts import Ids
from runtime.recall.places import NOWHERE, Places, RowNumbers, with_room

T = TypeVar("T")

NOBODY = -1
"""The code of a source or a part of a scope that is not set."""
CLOCKS = ("created_at", "valid_from", "valid_to", "expires_at", "ended_at", "importance")
"""Not all are clocks, but all are numbers that every document has."""
CODED = ("source", "user", "agent", "session")
_WORN_SHARE = 5
_LEAST_WORN = 1000
_KEY_BYTES = 150
"""About what a text of a dictionary takes."""


class DocumentRow(NamedTuple):
    """What filters look at of one document."""

    id: str
    attributes: Attributes
    tags: Sequence[str]
    coded: Sequence[str | None]
    """In the order of CODED."""
    clocks: Sequence[float]
    """In the order of CLOCKS; endless where there is none."""


class Table:
    """Documents and chunks; changed by one thread at a time, and not read meanwhile."""

    def __init__(self) -> None:
        self.rows = 0
        self.row_of: dict[str, int] = {}
        self._ids: list[str] = []
        """The document of each row, also of those that went."""
        self.attributes: dict[str, AttributeColumn] = {}
        self.dictionaries = {name: Dictionary() for name in CODED}
        self.chunks = Places()
        """The document's row of each chunk."""
        self.live_chunks = 0
        self._clocks: NDArray[np.float64] = np.empty((0, len(CLOCKS)))
        self._coded: NDArray[np.int32] = np.empty((0, len(CODED)), np.int32)
        self._chunk_counts: NDArray[np.int32] = np.empty(0, np.int32)
        self._tags = Dictionary()
        self._tagged: NDArray[np.int32] = np.empty((0, 2), np.int32)
        """Pairs of a tag's code and a row."""

    @property
    def chunk_counts(self) -> NDArray[np.int32]:
        """How many chunks each document has; none: it is not there any more."""
        return self._chunk_counts[: self.rows]

    @property
    def is_worn(self) -> bool:
        """Whether so much of it is left over that it should be read anew."""
        alive = len(self.row_of) + self.live_chunks
        dead = self.rows + len(self.chunks.ids) - alive
        texts = sum(len(column.dictionary.texts) for column in self.attributes.values())
        values = len(self.row_of) * len(self.attributes)
        return dead > _LEAST_WORN + alive // _WORN_SHARE or texts > _LEAST_WORN + 2 * values

    @property
    def memory_bytes(self) -> int:
        """About what it takes."""
        arrays = self._clocks.nbytes + self._coded.nbytes + self._chunk_counts.nbytes + self._tagged.nbytes
        columns = sum(column.memory_bytes for column in self.attributes.values())
        return int(arrays) + columns + self.chunks.memory_bytes + _KEY_BYTES * len(self.row_of)

    def clock(self, name: str) -> NDArray[np.float64]:
        """Return a column of CLOCKS."""
        return self._clocks[: self.rows, CLOCKS.index(name)]

    def coded(self, name: str) -> NDArray[np.int32]:
        """Return a column of CODED: numbers of its dictionary, or NOBODY."""
        return self._coded[: self.rows, CODED.index(name)]

    def rows_tagged(self, tag: str) -> NDArray[np.int32]:
        """Return the rows of documents with a tag."""
        code = self._tags.find(tag)
        if code is None:
            return np.empty(0, np.int32)
        rows: NDArray[np.int32] = self._tagged[self._tagged[:, 0] == code, 1]
        return rows

    def put_documents(self, documents: Sequence[DocumentRow]) -> None:
        """Add documents, or replace what is known of them. One without a chunk is not there yet."""
        known = [self.row_of[each.id] for each in documents if each.id in self.row_of]
        if known:
            self._clear(np.array(known, np.int64))
        new = [each.id for each in documents if each.id not in self.row_of]
        self.row_of.update(zip(new, range(self.rows, self.rows + len(new)), strict=True))
        self._ids += new
        self._grow(self.rows + len(new))
        if documents:
            self._write(documents)

    def put_chunks(self, chunks: Ids, rows: RowNumbers) -> None:
        """Add chunks of documents that are in the table, by their rows."""
        self._set(chunks, rows)

    def remove_chunks(self, chunks: Ids) -> None:
        """Remove chunks; a document that has none any more goes, too."""
        rows = self.chunks.find(chunks)
        known = chunks[rows != NOWHERE]
        self._set(known, np.full(len(known), NOWHERE, np.int32))
        for row in np.unique(rows[rows != NOWHERE]).tolist():
            if not self._chunk_counts[row]:
                del self.row_of[self._ids[row]]

    def _set(self, chunks: Ids, rows: RowNumbers) -> None:
        former = self.chunks.find(chunks)
        self.chunks.put(chunks, rows)
        self._count(former, -1)
        self._count(rows, 1)

    def _count(self, rows: RowNumbers, change: int) -> None:
        rows = rows[rows != NOWHERE]
        self._chunk_counts[: self.rows] += change * np.bincount(rows, minlength=self.rows).astype(np.int32)
        self.live_chunks += change * len(rows)

    def _grow(self, rows: int) -> None:
        used, self.rows = self.rows, rows
        self._clocks = with_room(self._clocks, used, rows)
        self._coded = with_room(self._coded, used, rows)
        self._chunk_counts = with_room(self._chunk_counts, used, rows)
        self._chunk_counts[used:rows] = 0
        for column in self.attributes.values():
            column.grow(rows)

    def _clear(self, rows: NDArray[np.int64]) -> None:
        self._tagged = self._tagged[~np.isin(self._tagged[:, 1], rows)]
        for column in self.attributes.values():
            column.clear(rows)

    def _write(self, documents: Sequence[DocumentRow]) -> None:
        rows = [self.row_of[each.id] for each in documents]
        self._clocks[rows] = [each.clocks for each in documents]
        for number, name in enumerate(CODED):
            code = self.dictionaries[name].code
            self._coded[rows, number] = _codes([each.coded[number] for each in documents], code)
        tagged = [
            (self._tags.code(tag), row)
            for row, each in zip(rows, documents, strict=True)
            for tag in dict.fromkeys(each.tags)
        ]
        if tagged:
            self._tagged = np.concatenate([self._tagged, np.array(tagged, np.int32)])
        for key, (key_rows, values) in _by_key(rows, documents).items():
            self._column(key).put(key_rows, values)

    def _column(self, key: str) -> AttributeColumn:
        column = self.attributes.get(key)
        if column is None:
            column = self.attributes[key] = AttributeColumn()
            column.grow(self.rows)
        return column


def _codes(texts: Sequence[str | None], code: Callable[[str], int]) -> list[int]:
    return [NOBODY if text is None else code(text) for text in texts]


def _by_key(
    rows: Sequence[int], documents: Sequence[DocumentRow]
) -> dict[str, tuple[list[int], list[Scalar]]]:
    """Turn the attributes of documents into rows and values by key."""
    result: dict[str, tuple[list[int], list[Scalar]]] = {}
    for row, each in zip(rows, documents, strict=True):
        for key, value in each.attributes.items():
            key_rows, values = result.setdefault(key, ([], []))
            key_rows.append(row)
            values.append(value)
    return result
