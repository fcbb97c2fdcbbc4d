"""The copies of a database in its folder: what their names say, and which of those before migrations go."""

import calendar
import re
import time
from pathlib import Path
from typing import NamedTuple

KEPT_BEFORE_MIGRATIONS = 2
STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(?P<stem>.+)-(?P<at>\d{8}T\d{6}Z)(?:-schema(?P<schema>\d+))?\.duckdb")


class Snapshot(NamedTuple):
    """A copy on disk."""

    path: Path
    at: float
    """Seconds since the epoch."""
    size_bytes: int
    schema: int | None
    """The schema before the migration that it was made for; None: a nightly one."""


def list_snapshots(folder: Path) -> list[Snapshot]:
    """Return the snapshots of a folder, the newest first."""
    if not folder.is_dir():
        return []

    found = [
        Snapshot(
            path,
            float(epoch(match["at"])),
            path.stat().st_size,
            None if match["schema"] is None else int(match["schema"]),
        )
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda each: (each.at, each.schema or 0), reverse=True)


def name_before_migration(stem: str, schema: int) -> str:
    """Return what a copy is called that is made now, before a migration from this schema."""
    return f"{stem}-{time.strftime(STAMP, time.gmtime())}-schema{schema}.duckdb"


def prune_before_migrations(folder: Path) -> None:
    """Let the oldest of the copies go that were made before migrations."""
    before = [each for each in list_snapshots(folder) if each.schema is not None]
    for each in before[KEPT_BEFORE_MIGRATIONS:]:
        each.path.unlink(missing_ok=True)


def epoch(stamp: str) -> int:
    """Return a stamp as seconds since the epoch."""
    return calendar.timegm(time.strptime(stamp, STAMP))
