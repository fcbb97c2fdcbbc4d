"""Keeps questions to people on disk: one line of JSON for every change, the last one of an id holds.

An append that was cut off by a crash is a broken last line, which is left out. Old answers go at a start.
"""

import logging
import os
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread
import msgspec

from runtime.core.gate.words import Approval
from runtime.core.ids import ApprovalId
from runtime.core.writing import write_private

APPROVALS_FILE = "approvals.jsonl"
"""In the home folder. It holds the arguments of calls, hence it is its owner's alone."""


logger = logging.getLogger(__name__)


class ApprovalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a person as it is kept."""

    approval: Approval
    is_spent: bool = False
    """Whether its answer has served; an answer for one call serves once."""


class ApprovalStore(Protocol):
    """Where questions to people outlive the server."""

    async def load(self) -> list[ApprovalRecord]:
        """Return all that is kept, the oldest first."""

    async def put(self, record: ApprovalRecord) -> None:
        """Keep a question as it is now; returns once it survives a crash. Raises OSError."""


class ApprovalLog:
    """Fulfils ApprovalStore with a file."""

    def __init__(self, path: Path, most: int = 1000) -> None:
        self._path = path
        self._most = most
        self._turn = anyio.Lock()

    async def load(self) -> list[ApprovalRecord]:
        """Return all that is kept; leaves out what is broken, and the oldest beyond the most."""
        async with self._turn:
            return await anyio.to_thread.run_sync(self._load)

    async def put(self, record: ApprovalRecord) -> None:
        """Append a line; returns once it is on disk. Raises OSError."""
        async with self._turn:
            await anyio.to_thread.run_sync(self._append, msgspec.json.encode(record))

    def _load(self) -> list[ApprovalRecord]:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []

        found: dict[ApprovalId, ApprovalRecord] = {}
        for line in lines:
            if not line:
                continue
            try:
                record = msgspec.json.decode(line, type=ApprovalRecord)
            except msgspec.DecodeError:
                logger.warning(
                    "left out a line of the approvals that cannot be read", extra={"bytes": len(line)}
                )
                continue
            found[record.approval.id] = record
        kept = _newest(list(found.values()), self._most)
        if len(lines) > len(kept) + 1:
            self._rewrite(kept)
        return kept

    def _append(self, line: bytes) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            is_whole = end == 0 or file.read(1) == b"\n"
            file.write((b"" if is_whole else b"\n") + line + b"\n")
            os.fsync(file.fileno())

    def _rewrite(self, records: list[ApprovalRecord]) -> None:
        write_private(self._path, b"".join(msgspec.json.encode(each) + b"\n" for each in records))


def _newest(records: list[ApprovalRecord], most: int) -> list[ApprovalRecord]:
    """Keep every question that waits, and the newest of the rest."""
    over = [each for each in records if each.approval.status != "pending"]
    dropped = {each.approval.id for each in sorted(over, key=_age)[: max(0, len(over) - most)]}
    return sorted((each for each in records if each.approval.id not in dropped), key=_age)


def _age(record: ApprovalRecord) -> tuple[float, str]:
    return record.approval.created_at, record.approval.id
