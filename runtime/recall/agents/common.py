"""What the stores of agents have in common: numbers for new rows, JSON bodies, and how they say no."""

from collections.abc import Sequence
from typing import Any, TypeVar

import duckdb
import msgspec

from runtime.core.errors import Conflict, Fault, NotFound, StoreDamaged

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


class Keys:
    """Numbers for the rows of one table that its parts go by. For the writer's thread; one for a database.

    A number that a rolled back transaction took is not used again: gaps do no harm.
    """

    def __init__(self, question: str) -> None:
        self._question = question
        self._last: int | None = None

    def next(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Return a number that nothing has."""
        if self._last is None:
            row = connection.execute(self._question).fetchone()
            assert row is not None, "an aggregate always has a row"
            self._last = int(row[0])
        self._last += 1
        return self._last


def encode(value: Any) -> str:
    """Return JSON text."""
    return _encoder.encode(value).decode()


def decode(decoder: msgspec.json.Decoder[T], body: str, where: str) -> T:
    """Return what a body says. Raises StoreDamaged, which names `where` it stands."""
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as problem:
        raise damaged(where, str(problem)) from problem


def damaged(where: str, problem: str) -> StoreDamaged:
    """Return the error that names what cannot be read; everything else can."""
    message = (
        f"What is stored of {where} cannot be read: {problem.rstrip('.')}. Everything else can. "
        "Remove it, or put back a backup of lar.duckdb."
    )
    return StoreDamaged(Fault(code="store_damaged", message=message))


def conflict(message: str) -> Conflict:
    """Return the error."""
    return Conflict(Fault(code="conflict", message=message))


def not_found(message: str) -> NotFound:
    """Return the error."""
    return NotFound(Fault(code="not_found", message=message))


def first_row(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any]
) -> tuple[Any, ...] | None:
    """Return the first row of an answer, None where there is none."""
    row: tuple[Any, ...] | None = connection.execute(sql, list(parameters)).fetchone()
    return row


def places(count: int, width: int) -> str:
    """Return the places of the parameters of so many rows, such as (?, ?), (?, ?)."""
    return ", ".join([f"({', '.join('?' * width)})"] * count)
