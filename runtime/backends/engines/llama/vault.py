"""Prefixes that left the context: kept in memory, then on disk, until they are wanted again.

Restoring a prefix is a copy, computing it is most of the work of a request. What is used least goes first
from memory to disk, and then for good. Unless a state can only be used whole, a longer prefix stands for
all the shorter ones that it begins with, in each tier by itself: what is in memory spares no file, since
memory does not survive.

    put ──► memory ──room is needed, tidy, flush──► disk ──room is needed──► gone
               ▲                                      │
               └───────── take, if room is left ──────┘

Not safe for threads. Blobs are never copied here.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from runtime.backends.engines.llama.radix import PrefixTree
from runtime.backends.engines.llama.vault_disk import Disk, Record
from runtime.backends.engines.llama.vault_file import Blob

INDEX_LIMIT_S = 2.0
"""Loading a model takes about as long; what is not read by then is the least recently used."""

_TIDY_ABOVE = 0.75
"""Of the room in memory. Below it nothing will have to leave soon, and most prefixes grow before that."""


class Found(NamedTuple):
    """The best entry for some tokens."""

    length: int
    """How many of the tokens it brings."""
    key: int
    total: int
    """How many tokens the entry holds; what is beyond `length` must be cut off after it was restored."""
    is_in_memory: bool


@dataclass(slots=True)
class _Entry:
    """A prefix that is held in memory, on disk, or both."""

    namespace: str
    used_ns: int
    blob: Blob | None = None
    name: str | None = None
    """Its file."""


class Vault:
    """The entries of one model. `is_exact`: a state is of use only as a whole (recurrent models, SWA)."""

    def __init__(
        self,
        *,
        ram_bytes: int,
        disk: Disk | None,
        is_exact: bool,
        now_ns: Callable[[], int] = time.time_ns,
        index_limit_s: float = INDEX_LIMIT_S,
    ) -> None:
        self.ram_bytes = 0
        """What the blobs in memory take; never above the bound that was given."""
        self.hits = 0
        """Blobs that were handed out."""
        self.misses = 0
        """Blobs that were asked for and turned out to be gone or damaged."""
        self.spilled = 0
        """Blobs that were written to disk."""
        self.dropped = 0
        """Prefixes that were lost for want of room or through damage."""
        self._most_ram_bytes = ram_bytes
        self._disk = disk
        self._is_exact = is_exact
        self._now_ns = now_ns
        self._last_ns = 0
        self._next_key = 0
        self._is_tidy = False
        self._tree: PrefixTree[int] = PrefixTree()
        self._entries: dict[int, _Entry] = {}
        self._in_memory: OrderedDict[int, None] = OrderedDict()
        if disk is not None:
            for record in disk.read_index(index_limit_s):
                self._adopt(record, disk)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def disk_bytes(self) -> int:
        """What the files take, those of other workers too."""
        return 0 if self._disk is None else self._disk.used_bytes

    def put(self, namespace: str, tokens: Sequence[int], blob: Blob) -> None:
        """Keep the state after these tokens. May write to disk, and may drop what was used least."""
        assert tokens, "no tokens leave no state"
        if self.renew(namespace, tokens):
            return

        self._is_tidy = False
        key = self._same(namespace, tokens)
        if key is None:
            key = self._insert(namespace, tokens)
        self._touch(key)
        if len(blob) <= self._most_ram_bytes:
            self._hold(key, blob)
        else:
            self._let_go(key, is_saved=self._save(key, blob))

    def renew(self, namespace: str, tokens: Sequence[int]) -> bool:
        """Note that this prefix was used; False where memory has nothing for it, and `put` would add it."""
        key = self._in_memory_for(namespace, tokens)
        if key is None:
            return False

        self._touch(key)
        return True

    def find(self, namespace: str, tokens: Sequence[int]) -> Found | None:
        """Return the entry that brings the most of `tokens`; in memory before on disk, then the smallest.

        Leave out tokens that have to be computed anyhow: the last one of a prompt, for its logits. Reads no
        disk and changes nothing.
        """
        if self._is_exact:
            contained = self._tree.contained(namespace, tokens)
            length, keys = (contained[-1].length, [contained[-1].key]) if contained else (0, [])
        else:
            length, keys = self._tree.find_all(namespace, tokens) or (0, [])
        if not keys:
            return None

        total, key = min(
            ((self._tree.length_of(key), key) for key in keys),
            key=lambda each: (self._entries[each[1]].blob is None, each),
        )
        return Found(length, key, total, self._entries[key].blob is not None)

    def take(self, key: int) -> Blob | None:
        """Return the blob of an entry, and keep it, in memory where there is room. May read the disk.

        None where it is gone or damaged; it is forgotten then.
        """
        entry = self._entries.get(key)
        blob = None if entry is None else self._blob(key, entry)
        if blob is None:
            self.misses += 1
        else:
            self.hits += 1
        return blob

    def forget(self, key: int) -> None:
        """Remove an entry that turned out to be of no use, its file too."""
        if key in self._entries:
            self._free(key)
            self._unlink(key)

    def tidy(self) -> bool:
        """Write one blob ahead of need, so that making room is quick later; for when there is nothing to do.

        Returns whether it did: call again.
        """
        if self._is_tidy or self._disk is None or self.ram_bytes <= _TIDY_ABOVE * self._most_ram_bytes:
            return False

        key = next((key for key in self._in_memory if self._on_disk(key) is None), None)
        self._is_tidy = key is None or not self._save(key, self._entries[key].blob)
        return not self._is_tidy

    def flush(self, deadline_s: float, now: Callable[[], float] = time.monotonic) -> None:
        """Write what only memory holds, last used first; begins no blob after the deadline.

        What is on disk already makes room only where it was used longer ago.
        """
        until = now() + deadline_s
        for key in list(reversed(self._in_memory)):
            if now() >= until:
                return

            entry = self._entries.get(key)
            if entry is not None:
                self._save(key, entry.blob)

    def _adopt(self, record: Record, disk: Disk) -> None:
        """Take over what was on disk before; files that a longer one stands for are removed."""
        key = self._insert(record.namespace, record.tokens)
        if self._on_disk(key) is not None:
            disk.remove(record.name)
            self._forget_if_empty(key)
            return

        entry = self._entries[key]
        entry.name, entry.used_ns = record.name, record.used_ns
        self._supersede_on_disk(key)

    def _insert(self, namespace: str, tokens: Sequence[int]) -> int:
        key, self._next_key = self._next_key, self._next_key + 1
        self._tree.insert(namespace, tokens, key)
        self._entries[key] = _Entry(namespace, 0)
        return key

    def _same(self, namespace: str, tokens: Sequence[int]) -> int | None:
        contained = self._tree.contained(namespace, tokens)
        return contained[-1].key if contained and contained[-1].length == len(tokens) else None

    def _covering(self, namespace: str, tokens: Sequence[int]) -> list[int]:
        """Return the entries that stand for these tokens."""
        if self._is_exact:
            same = self._same(namespace, tokens)
            return [] if same is None else [same]

        matches = self._tree.find_all(namespace, tokens)
        return [] if matches is None or matches.length < len(tokens) else matches.keys

    def _in_memory_for(self, namespace: str, tokens: Sequence[int]) -> int | None:
        covering = self._covering(namespace, tokens)
        return next((key for key in covering if self._entries[key].blob is not None), None)

    def _on_disk(self, key: int) -> str | None:
        """Return the file of the entry, or of one that stands for it."""
        covering = self._covering(self._entries[key].namespace, self._tree.tokens_of(key))
        names = (self._entries[each].name for each in (key, *covering))
        return next((name for name in names if name is not None), None)

    def _is_spared(self, key: int) -> bool:
        """Whether memory holds one that stands for this entry."""
        return self._in_memory_for(self._entries[key].namespace, self._tree.tokens_of(key)) is not None

    def _shorter(self, key: int) -> list[int]:
        """Return the other entries that this one stands for."""
        if self._is_exact:
            return []

        contained = self._tree.contained(self._entries[key].namespace, self._tree.tokens_of(key))
        return [match.key for match in contained if match.key != key]

    def _touch(self, key: int) -> None:
        self._last_ns = max(self._last_ns + 1, self._now_ns())
        self._entries[key].used_ns = self._last_ns
        if key in self._in_memory:
            self._in_memory.move_to_end(key)

    def _hold(self, key: int, blob: Blob) -> None:
        """Keep a blob in memory that fits there, in place of those it stands for."""
        self._entries[key].blob = blob
        self._in_memory[key] = None
        self.ram_bytes += len(blob)
        for shorter in self._shorter(key):
            self._free(shorter)
            self._forget_if_empty(shorter)
        while self.ram_bytes > self._most_ram_bytes:
            self._spill(next(iter(self._in_memory)))

    def _spill(self, key: int) -> None:
        """Free the memory of an entry, which stays if it is on disk or finds room there."""
        is_saved = self._save(key, self._entries[key].blob)
        self._free(key)
        self._let_go(key, is_saved=is_saved)

    def _let_go(self, key: int, *, is_saved: bool) -> None:
        if is_saved:
            self._forget_if_empty(key)
        else:
            self._drop(key)

    def _save(self, key: int, blob: Blob | None) -> bool:
        """Write an entry to disk, unless it or one that stands for it is there. Returns whether it is now."""
        entry, disk = self._entries[key], self._disk
        if disk is None or blob is None:
            return False

        name = self._on_disk(key)
        if name is not None:
            disk.touch(name, entry.used_ns)
            return True

        entry.name = disk.write(entry.namespace, self._tree.tokens_of(key), blob, entry.used_ns)
        self._forget_removed(disk)
        if entry.name is None:
            return False

        self.spilled += 1
        self._supersede_on_disk(key)
        return True

    def _supersede_on_disk(self, key: int) -> None:
        for shorter in self._shorter(key):
            self._unlink(shorter)

    def _blob(self, key: int, entry: _Entry) -> Blob | None:
        self._touch(key)
        if entry.blob is not None or entry.name is None or self._disk is None:
            return entry.blob

        blob = self._disk.read(entry.name, entry.used_ns)
        if blob is None:
            entry.name = None
            self._drop(key)
        elif self.ram_bytes + len(blob) <= self._most_ram_bytes and not self._is_spared(key):
            self._hold(key, blob)
        return blob

    def _forget_removed(self, disk: Disk) -> None:
        """Forget the files that made room, or that another worker removed."""
        gone = [key for key, entry in self._entries.items() if entry.name and entry.name not in disk.names]
        for key in gone:
            self._entries[key].name = None
            if self._entries[key].blob is None:
                self._drop(key)

    def _unlink(self, key: int) -> None:
        """Remove the file of an entry, and the entry if it was all there is."""
        entry = self._entries[key]
        if entry.name is not None and self._disk is not None:
            self._disk.remove(entry.name)
            entry.name = None
        self._forget_if_empty(key)

    def _free(self, key: int) -> None:
        """Let go of the memory of an entry."""
        entry = self._entries[key]
        if entry.blob is not None:
            self.ram_bytes -= len(entry.blob)
            entry.blob = None
            del self._in_memory[key]

    def _drop(self, key: int) -> None:
        self.dropped += 1
        self._forget_if_empty(key)

    def _forget_if_empty(self, key: int) -> None:
        entry = self._entries[key]
        if entry.blob is None and entry.name is None:
            del self._entries[key]
            self._tree.remove(key)
