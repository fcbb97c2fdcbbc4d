"""What is done to Recall's store while no server runs: copies are listed and put back, the file made smaller.

The database itself refuses to be changed while another process has it open.
"""

from pathlib import Path

from runtime.app import RECALL_FOLDER
from runtime.core.errors import StoreUnavailable
from runtime.core.recall import StoredSnapshot
from runtime.recall.connection import Connection, Limits
from runtime.recall.opening import DATABASE_FILE, SNAPSHOTS_FOLDER, TEXT_FOLDER
from runtime.recall.restoring import Compacted, compact, restore
from runtime.recall.snapshots import list_snapshots

_WAY_OUT = "'lar recall doctor --restore latest' puts back the newest snapshot."


def list_copies(home: Path) -> list[StoredSnapshot]:
    """Return the copies on disk, the newest first."""
    return [
        StoredSnapshot(name=each.path.name, at=each.at, size_bytes=each.size_bytes, schema=each.schema)
        for each in list_snapshots(home / RECALL_FOLDER / SNAPSHOTS_FOLDER)
    ]


def restore_store(home: Path, name: str) -> Path | None:
    """Put back a copy that `list_copies` names; return where the former database lies now.

    The indexes go: they may be ahead of the copy, and are made anew. Raises StoreUnavailable.
    """
    folder = home / RECALL_FOLDER
    snapshot = folder / SNAPSHOTS_FOLDER / name
    return restore(folder / DATABASE_FILE, snapshot, derived=(folder / TEXT_FOLDER,))


def compact_store(home: Path) -> Compacted:
    """Make the file as small as what is in it. Raises StoreUnavailable."""
    path = home / RECALL_FOLDER / DATABASE_FILE
    if not path.exists():
        raise StoreUnavailable(f"There is no store at {path} yet. Lar makes it at its first start.")

    return compact(Connection(path, Limits(), _WAY_OUT).raw, path)
