"""What is done to the stores while no server runs: copies are listed and put back, files made smaller.

There are two: Recall's own, and the server's, which holds facts and what agents keep. A database refuses by
itself to be changed while another process has it open.
"""

from pathlib import Path

from runtime.app import DATABASE_FILE as SERVER_FILE
from runtime.app import RECALL_FOLDER
from runtime.core.errors import StoreUnavailable
from runtime.core.recall import Finding, StoredSnapshot
from runtime.recall.agents.care import SNAPSHOTS_FOLDER as SERVER_SNAPSHOTS
from runtime.recall.agents.care import stored
from runtime.recall.agents.check import check_file
from runtime.recall.connection import Connection, Limits
from runtime.recall.opening import DATABASE_FILE, SNAPSHOTS_FOLDER, TEXT_FOLDER
from runtime.recall.restoring import Compacted, compact, restore, set_aside
from runtime.recall.snapshots import list_snapshots

_WAY_OUT = "'lar recall doctor --restore latest' puts back the newest snapshot."


def list_copies(home: Path) -> list[StoredSnapshot]:
    """Return the copies on disk, the newest first."""
    return [stored(each) for each in list_snapshots(home / RECALL_FOLDER / SNAPSHOTS_FOLDER)]


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


def check_server_store(home: Path) -> list[Finding]:
    """Read all of the server's database and return what is wrong; modifies nothing.

    Raises StoreUnavailable where another process has it open.
    """
    return check_file(home / SERVER_FILE, home / SERVER_SNAPSHOTS)


def list_server_copies(home: Path) -> list[StoredSnapshot]:
    """Return the copies of the server's database, the newest first."""
    return [stored(each) for each in list_snapshots(home / SERVER_SNAPSHOTS)]


def restore_server_store(home: Path, name: str) -> Path | None:
    """Put back a copy that `list_server_copies` names; return where the former database lies now.

    Raises StoreUnavailable.
    """
    return restore(home / SERVER_FILE, home / SERVER_SNAPSHOTS / name)


def set_server_store_aside(home: Path) -> Path | None:
    """Move the server's database to another name; return it, None where there is none.

    Raises StoreUnavailable.
    """
    return set_aside(home / SERVER_FILE)
