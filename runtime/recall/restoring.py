"""Swaps the file of a database that nobody has open: for a snapshot, or for a smaller copy of itself.

A restore may be cut off at any point and is finished by the next opening:

    0  derived folders        gone: they may be ahead of the snapshot, and are made anew in any case
    1  x.duckdb.restored      a whole copy of the snapshot, synced: from here on the restore is decided
    2  x.duckdb.damaged-…     what was there keeps its bytes under another name, its log beside it
    3  x.duckdb               the copy, in one step
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from runtime.core.errors import StoreUnavailable
from runtime.recall.copying import PART_SUFFIX, copy_database, prints_of, sync
from runtime.recall.damage import explain_unopened
from runtime.recall.privacy import make_private

RESTORED_SUFFIX = ".restored"
DAMAGED_INFIX = ".damaged-"
WAL_SUFFIX = ".wal"
_WASTED_BYTES = 64 * 1024 * 1024
"""Less than this in freed blocks is not worth a copy."""
_WASTED_SHARE = 1 / 3


class Compacted(NamedTuple):
    """What a smaller copy has won."""

    before_bytes: int
    after_bytes: int


def restore(path: Path, snapshot: Path, derived: Sequence[Path] = ()) -> Path | None:
    """Put a snapshot in the place of a database that nobody has open; return where the former one lies now.

    `derived` are the folders of indexes: they go, for they may be ahead of the snapshot. Nothing else is
    deleted. Raises StoreUnavailable where the snapshot cannot be read or the database is open elsewhere.
    """
    try:
        prints_of(snapshot)
    except duckdb.Error as problem:
        way_out = "Choose another snapshot."
        raise StoreUnavailable(explain_unopened(snapshot, problem, way_out)) from problem

    _check_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    copy = _beside(path, RESTORED_SUFFIX)
    part = _beside(copy, PART_SUFFIX)
    try:
        shutil.copyfile(snapshot, part)
        make_private(part)
        sync(part)
        # Before the restore is decided: cut off here, the former database makes its indexes anew.
        for folder in derived:
            _remove_folder(folder)
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)
    sync(path.parent)
    return finish_restore(path)


def finish_restore(path: Path) -> Path | None:
    """Finish a restore that was decided; return where the former database lies, None where there was none."""
    copy = _beside(path, RESTORED_SUFFIX)
    if not copy.exists():
        return None

    aside = _free_name(path)
    former = None
    for source, target in ((path, aside), (_beside(path, WAL_SUFFIX), _beside(aside, WAL_SUFFIX))):
        if source.exists():
            target.hardlink_to(source)
            former = aside
    sync(path.parent)
    copy.replace(path)
    # A log that stays behind a moment longer does no harm: it does not fit the new file and is refused.
    _beside(path, WAL_SUFFIX).unlink(missing_ok=True)
    sync(path.parent)
    return former


def set_aside(path: Path) -> Path | None:
    """Move a database that nobody has open to another name, its log with it; return it, None: there was none.

    Cut off after the first step, the log alone is there: no database opens then, and this goes on with it.
    Raises StoreUnavailable where the database is open elsewhere.
    """
    log = _beside(path, WAL_SUFFIX)
    if not path.exists() and not log.exists():
        return None

    _check_free(path)
    aside = _free_name(path)
    for source, target in ((path, aside), (log, _beside(aside, WAL_SUFFIX))):
        if source.exists():
            source.rename(target)
            sync(path.parent)
    return aside


def compact(connection: duckdb.DuckDBPyConnection, path: Path) -> Compacted:
    """Close the only connection of a database and put a copy without freed blocks in its place.

    Raises duckdb.Error and StoreDamaged as `copy_database` does; the database is as it was then.
    """
    before = path.stat().st_size
    small = _beside(path, ".compacted")
    try:
        copy_database(connection, small)
        connection.execute("CHECKPOINT")
    finally:
        connection.close()

    if _beside(path, WAL_SUFFIX).exists():  # something is in the log that the copy may not have
        small.unlink()
        return Compacted(before, before)

    small.replace(path)
    sync(path.parent)
    return Compacted(before, path.stat().st_size)


def is_wasteful(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Tell whether more than a third of a file is freed blocks, and there is room to change that."""
    row = connection.execute(
        "SELECT block_size, total_blocks, free_blocks FROM pragma_database_size() "
        "WHERE database_name = current_database()"
    ).fetchone()
    assert row is not None, "an open database has a size"
    block_bytes, total, free = (int(each) for each in row)
    used_bytes = (total - free) * block_bytes
    has_room = shutil.disk_usage(path.parent).free > 2 * used_bytes + _WASTED_BYTES
    return has_room and free * block_bytes > _WASTED_BYTES and free > _WASTED_SHARE * total


def _check_free(path: Path) -> None:
    """Raise StoreUnavailable where another process has the database open; damage is no hindrance."""
    if not path.exists():
        return

    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error as problem:
        explanation = explain_unopened(path, problem, "")
        if "another process" in explanation:
            raise StoreUnavailable(explanation) from problem


def _remove_folder(folder: Path) -> None:
    """Remove a folder for good. Raises OSError where something of it stays."""
    if folder.exists():
        shutil.rmtree(folder)
        sync(folder.parent)


def _free_name(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    candidates = (
        _beside(path, f"{DAMAGED_INFIX}{stamp}{'' if not number else f'-{number}'}") for number in range(1000)
    )
    return next(each for each in candidates if not each.exists())


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
