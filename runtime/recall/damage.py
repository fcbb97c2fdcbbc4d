"""What DuckDB's errors mean for who runs Lar: a full disk, a held file, damage; and the way out."""

import errno
import os
from pathlib import Path

import duckdb

from runtime.core.errors import Fault, StoreDamaged, StoreFull

_FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_DAMAGED = ("checksum", "corrupt", "not a valid duckdb", "deserializ", "wal file")


def is_full(problem: BaseException) -> bool:
    """Tell whether the disk had no room."""
    text = str(problem)
    return any(each in text for each in _FULL) or "max_temp_directory_size" in text


def is_damage(problem: BaseException) -> bool:
    """Tell whether what is on disk is not what was written."""
    text = str(problem).lower()
    return isinstance(problem, duckdb.SerializationException | duckdb.InternalException) or any(
        each in text for each in _DAMAGED
    )


def store_full(path: Path, detail: str) -> StoreFull:
    """Return the error that says so: nothing was stored, nothing is lost."""
    message = (
        f"The disk that holds {path.parent} is full. Nothing of this was stored, and what was there is "
        "whole. Make room; then it works again by itself."
    )
    return StoreFull(Fault(code="store_full", message=message, detail=detail))


def store_damaged(path: Path, way_out: str, problem: BaseException) -> StoreDamaged:
    """Return the error that says so, with the way out."""
    message = f"{path} is damaged: {_first_line(problem)} {way_out}"
    return StoreDamaged(Fault(code="store_damaged", message=message))


def explain_unopened(path: Path, problem: BaseException, way_out: str) -> str:
    """Say what keeps the file from opening, and the way out."""
    text = str(problem)
    if "set lock" in text.lower() or "conflicting lock" in text.lower():
        return (
            f"{path} is in use by another process. One Lar owns its data at a time: 'lar status' shows the "
            f"running one, 'lar stop' ends it. ({_first_line(problem)})"
        )

    if is_full(problem):
        return f"{path} cannot be opened, because the disk is full. Make room. ({_first_line(problem)})"

    if isinstance(problem, duckdb.OutOfMemoryException):
        return f"{path} cannot be opened within its memory limit. Raise it. ({_first_line(problem)})"

    if "wal" in text.lower():
        return (
            f"The write-ahead log beside {path} is damaged, so Lar does not open a half of its data. "
            f"{way_out} ({_first_line(problem)})"
        )

    return f"{path} cannot be opened: {_first_line(problem)} {way_out}"


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
