"""The files of batches: where the input lies, and what came of its lines, written once."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from runtime.api.multipart import CHUNK_BYTES
from runtime.api.openai.batch_input import read_lines
from runtime.api.openai.batch_lines import unmade_line
from runtime.api.openai.batch_words import BatchState, LineBody, LineRow
from runtime.api.openai.files import BATCH_EXPIRY_S
from runtime.core.errors import NotFound
from runtime.core.ids import FileId, TenantId
from runtime.core.recall import Files

PURPOSE = "batch_output"
_SEARCHED = 1000
_UNMADE = {
    "expired": (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    "cancelled": ("batch_cancelled", "This request was not executed: the batch was cancelled."),
}

Rows = Callable[[], AsyncIterator[tuple[int, LineRow]]]
"""Yields what lines came to, by their number."""


class Written(NamedTuple):
    """The files of a batch that is over."""

    output: str | None
    errors: str | None
    unmade: int
    """Lines that were not carried out."""


class _Count:
    def __init__(self) -> None:
        self.lines = 0
        self.unmade = 0


class BatchFiles:
    """The files that batches read and write."""

    def __init__(self, files: Files, longest_line: int) -> None:
        self._files = files
        self._longest = longest_line

    async def input(self, tenant: TenantId, state: BatchState) -> Path:
        """Return where the input lies. Raises NotFound."""
        return await self._files.path(tenant, FileId(state.input_file_id))

    async def write(self, tenant: TenantId, state: BatchState, rows: Rows) -> Written:
        """Write both files, of which one that would be empty is left out. Raises StoreFull."""
        count = _Count()
        output = await self._once(tenant, state, "output", self._good(rows, count), count)
        count.lines = 0
        errors = await self._once(tenant, state, "error", self._bad(tenant, state, rows, count), count)
        return Written(output, errors, count.unmade)

    async def _once(
        self, tenant: TenantId, state: BatchState, name: str, lines: AsyncIterator[bytes], count: _Count
    ) -> str | None:
        """Store a file under the name of its batch; one that a crash left behind is replaced."""
        called = f"{state.id}_{name}.jsonl"
        for each in await self._files.list_all(tenant, purpose=PURPOSE, limit=_SEARCHED):
            if each.name == called:
                await self._files.remove(tenant, each.id)
        expiry = state.output_expires_s or BATCH_EXPIRY_S
        stored = await self._files.add(
            tenant, called, PURPOSE, _pieces(lines), expires_after_s=expiry, media_type="application/jsonl"
        )
        if count.lines:
            return stored.id
        await self._files.remove(tenant, stored.id)
        return None

    async def _good(self, rows: Rows, count: _Count) -> AsyncIterator[bytes]:
        async for _, row in rows():
            if row.is_over and row.is_ok:
                count.lines += 1
                yield bytes(row.output) + b"\n"

    async def _bad(
        self, tenant: TenantId, state: BatchState, rows: Rows, count: _Count
    ) -> AsyncIterator[bytes]:
        done: set[int] = set()
        async for number, row in rows():
            if row.is_over:
                done.add(number)
                if not row.is_ok:
                    count.lines += 1
                    yield bytes(row.output) + b"\n"
        if state.ends_as in _UNMADE:
            async for line in self._unmade(tenant, state, done):
                count.lines += 1
                count.unmade += 1
                yield line + b"\n"

    async def _unmade(self, tenant: TenantId, state: BatchState, done: set[int]) -> AsyncIterator[bytes]:
        """Yield a line for each request that was not made; of a file that is gone none."""
        code, message = _UNMADE[state.ends_as or ""]
        try:
            path = await self.input(tenant, state)
        except NotFound:
            return
        async for line in read_lines(path, self._longest):
            if line.number in done:
                continue
            try:
                asked = msgspec.json.decode(line.text, type=LineBody)
            except msgspec.DecodeError:  # it was cancelled before anybody looked at the file
                continue
            yield unmade_line(asked.custom_id, code, message)


async def _pieces(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield lines in pieces: one with thousands of vectors is large."""
    async for line in lines:
        for start in range(0, len(line), CHUNK_BYTES):
            yield line[start : start + CHUNK_BYTES]
