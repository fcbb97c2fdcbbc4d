"""Where installed things lie under LAR_HOME, and how a file is given its final name so that it survives.

    $LAR_HOME/
      backends/<engine>/               the engine's own environment
      backends/<engine>/complete.json  written last: without it the environment counts as not there
      backends/.work/<engine>/         wheels and temporary files of an install under way
      models/<model>/<file>            weights; a file has this name only once its hash was checked
      models/.work/<model>/            what is being fetched
      logs/backend-<engine>.log        what pip and the compiler said
      logs/model-<model>.log
      locks/…                          one install at a time, across processes

Blocking: call it from a thread.
"""

import errno
import os
import shutil
from pathlib import Path


class Folders:
    """Paths under one LAR_HOME. Touches nothing by itself."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()

    def environment(self, engine: str) -> Path:
        """Return the engine's virtual environment."""
        return self.home / "backends" / engine

    def engine_python(self, engine: str) -> Path:
        """Return the interpreter in it."""
        return self.environment(engine) / "bin" / "python"

    def engine_marker(self, engine: str) -> Path:
        """Return the file that makes an environment count as installed."""
        return self.environment(engine) / "complete.json"

    def engine_work(self, engine: str) -> Path:
        """Return the scratch room of an engine's install."""
        return self.home / "backends" / ".work" / engine

    def weights(self, model: str, file: str) -> Path:
        """Return where the model's weights belong."""
        return self.home / "models" / model / file

    def model_work(self, model: str) -> Path:
        """Return the scratch room of a model's install."""
        return self.home / "models" / ".work" / model

    def log(self, kind: str, name: str) -> Path:
        """Return the log of an install; `kind` is backend or model."""
        return self.home / "logs" / f"{kind}-{name}.log"

    def lock(self, kind: str, name: str) -> Path:
        """Return the file that an install holds."""
        return self.home / "locks" / f"{kind}-{name}.lock"


def write_durably(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all, so that it survives a crash of the machine."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

    rename_durably(partial, path)


def rename_durably(partial: Path, final: Path) -> None:
    """Give a file, already synced, its final name; the name survives a crash of the machine."""
    partial.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it; a folder that is not there is fine. Follows no links."""
    for is_last in (False, False, True):
        try:
            if folder.is_symlink():
                folder.unlink()
            elif folder.exists():
                shutil.rmtree(folder)
        except OSError as problem:
            # The last breath of a process that was just ended: its files come and go under our hands.
            if is_last or problem.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
        else:
            return


def free_bytes(folder: Path) -> int:
    """Return the room on the disk that would hold the folder, which need not exist yet."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent

    return shutil.disk_usage(place).free
