"""The running server of a home folder, as other processes find it: a small file with pid and address.

The file is a hint, not a lock: the database admits one owner at a time. A reader checks that the process
lives and is the one that wrote it, so a file left behind by a crash misleads nobody.
"""

import os
from pathlib import Path

import msgspec
import psutil

INSTANCE_FILE = "server.json"
_SAME_START_S = 2.0
"""Process start times are rounded differently by platforms; two processes with one pid are further apart."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One running server."""

    pid: int
    process_started: float
    """Seconds since the epoch, as the platform tells it; with the pid it names a process."""
    address: str
    version: str
    secret: str
    """Opens the server's routes to the owner's own commands; hence the file is for its owner only."""

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.process_started) < _SAME_START_S
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def write_instance(home: Path, address: str, version: str, secret: str) -> Instance:
    """Tell the owner's other processes where this process serves."""
    instance = Instance(
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        address=address,
        version=version,
        secret=secret,
    )
    path = home / INSTANCE_FILE
    staged = path.with_suffix(f".{instance.pid}")
    staged.unlink(missing_ok=True)
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(instance))
    staged.replace(path)
    return instance


def find_instance(home: Path) -> Instance | None:
    """Return the server that runs over this home, None where none does."""
    try:
        instance = msgspec.json.decode((home / INSTANCE_FILE).read_bytes(), type=Instance)
    except (OSError, msgspec.DecodeError):
        return None

    return instance if instance.is_alive else None


def remove_instance(home: Path, instance: Instance) -> None:
    """Take the file away, unless another server has written it meanwhile."""
    path = home / INSTANCE_FILE
    try:
        if msgspec.json.decode(path.read_bytes(), type=Instance) == instance:
            path.unlink()
    except (OSError, msgspec.DecodeError):
        return
