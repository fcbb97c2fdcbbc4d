"""Who may read what Lar stores on disk: its owner alone.

The folder is what counts: DuckDB makes its log and its temporary files itself, with the modes of the process.
"""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def make_private_folder(folder: Path) -> None:
    """Make a folder that only the owner enters, or tighten the one that is there."""
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    _restrict(folder, PRIVATE_FOLDER)


def make_private(file: Path) -> None:
    """Let only the owner read and write a file."""
    _restrict(file, PRIVATE_FILE)


def _restrict(path: Path, mode: int) -> None:
    """Set a mode; where the disk has none, or it is another's, say so: what is stored is still usable."""
    if path.stat().st_mode & 0o777 == mode:
        return

    try:
        path.chmod(mode)
    except PermissionError as problem:
        logger.warning(
            "others may be able to read what is stored", extra={"path": str(path), "reason": str(problem)}
        )
