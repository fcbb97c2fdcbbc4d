"""`mcp.json` as the hub follows it while it runs: a change in it is taken up when it is next needed.

A file that has become unreadable takes nothing away: what it said before goes on counting, and an entry of
the file's own name tells what is wrong with it, until it is mended.
"""

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from runtime.core.settings import McpSettings
from runtime.mcp.config import SERVERS_FILE, ServerEntry, read_entries

logger = logging.getLogger(__name__)

_Stamp = tuple[int, int, int] | None
"""Of the file as it was read: when it was written, its size, which file it is; None where there is none."""


class Follower:
    """Keeps the servers of the hub in step with the file."""

    def __init__(
        self,
        home: Path,
        settings: McpSettings,
        join: Callable[[ServerEntry], str],
        leave: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:
        self.lock = anyio.Lock()
        """Held by whoever writes the file, until it is told here."""
        self._path = home / SERVERS_FILE
        self._settings = settings
        self._join = join
        self._leave = leave
        self._stamp: _Stamp = None
        self._known: dict[str, ServerEntry] = {}
        self._names: dict[str, str] = {}
        """What each entry is called in the hub."""

    @property
    def fault(self) -> str:
        """Why the file cannot be read now; empty where it can."""
        return next((each.fault for each in self._known.values() if each.is_file), "")

    async def start(self) -> None:
        """Take up the servers of the settings, then those of the file."""
        self._stamp = await anyio.to_thread.run_sync(_stamp_of, self._path)
        for entry in await anyio.to_thread.run_sync(read_entries, self._path.parent, self._settings):
            if entry.origin == SERVERS_FILE:
                self.note(entry, self._join(entry))
            else:
                self._join(entry)

    async def refresh(self) -> None:
        """Take up what has changed in the file, if anything has. Whoever leaves does not stop it half way."""
        async with self.lock:
            stamp = await anyio.to_thread.run_sync(_stamp_of, self._path)
            if stamp != self._stamp:
                with anyio.CancelScope(shield=True):  # to read a file, and to end servers, which is bounded
                    wanted = await anyio.to_thread.run_sync(self._read, stamp)
                    await self._turn_to(wanted)
                    self._stamp = stamp

    def note(self, entry: ServerEntry, name: str) -> None:
        """Know of a server that stands in the file and has been taken up under a name."""
        self._known[entry.name], self._names[entry.name] = entry, name

    def forget(self, name: str) -> None:
        """Know no more of a server that has been taken out of the file and given up."""
        for told in [each for each, called in self._names.items() if called == name]:
            del self._known[told], self._names[told]

    async def _turn_to(self, wanted: Mapping[str, ServerEntry]) -> None:
        gone = [name for name, entry in self._known.items() if wanted.get(name) != entry]
        async with anyio.create_task_group() as tasks:
            for name in gone:
                tasks.start_soon(self._leave, self._names[name])
        for name in gone:
            del self._known[name], self._names[name]
        fresh = [entry for name, entry in wanted.items() if name not in self._known]
        for entry in fresh:
            self.note(entry, self._join(entry))
        if self.fault:
            logger.warning("mcp.json cannot be read", extra={"reason": self.fault})
        else:
            logger.info("mcp.json was read anew", extra={"taken": len(fresh), "given_up": len(gone)})

    def _read(self, stamp: _Stamp) -> dict[str, ServerEntry]:
        """Return what counts from now on. Reads the disk."""
        entries = read_entries(self._path.parent, self._settings)
        found = {each.name: each for each in entries if each.origin == SERVERS_FILE}
        kept = {name: each for name, each in self._known.items() if not each.is_file}
        broken = next((each for each in found.values() if each.is_file), None)
        if broken is None and kept and not found and stamp is not None and stamp[1] == 0:
            # An editor empties a file before it writes it.
            fault = f"{SERVERS_FILE}: is empty; write {{}} where there shall be no servers."
            broken = ServerEntry(name=SERVERS_FILE, origin=SERVERS_FILE, fault=fault, is_file=True)
        return found if broken is None else kept | {broken.name: _told(broken, list(kept))}


def _told(broken: ServerEntry, kept: Sequence[str]) -> ServerEntry:
    before = "The definitions that were read before are still in use; mend" if kept else "Mend"
    fault = f"{broken.fault} {before} the file, and it is taken up without a restart."
    return msgspec.structs.replace(broken, fault=fault)


def _stamp_of(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
