"""Uploaded files, as `core.recall.Files`: a row each, their bytes among the contents of `blobs`.

Two files of the same content share their bytes. A name is data: it says nothing about where bytes lie.
"""

import mimetypes
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from runtime.core.clock import Clock
from runtime.core.errors import Fault, NotFound, StoreDamaged
from runtime.core.ids import FileId, TenantId
from runtime.core.knowledge import StoredFile
from runtime.core.minting import new_id
from runtime.recall.blobs import BlobStore
from runtime.recall.truth import Pen, Truth

_COLUMNS = "id, name, purpose, size_bytes, sha256, media_type, created_at, expires_at"
_UNKNOWN = "application/octet-stream"
_TYPES = mimetypes.MimeTypes(filenames=())
"""The types that Python knows by itself: the same on every machine."""
_TYPES.add_type("text/markdown", ".md")
_TYPES.add_type("text/markdown", ".markdown")
_TYPES.add_type("application/jsonl", ".jsonl")


class StoredFiles:
    """Stores, finds and removes uploaded files."""

    def __init__(self, truth: Truth, blobs: BlobStore, clock: Clock) -> None:
        self._truth = truth
        self._blobs = blobs
        self._clock = clock

    async def add(
        self,
        tenant: TenantId,
        name: str,
        purpose: str,
        content: AsyncIterator[bytes],
        *,
        expires_after_s: float | None = None,
        media_type: str | None = None,
    ) -> StoredFile:
        """Store what the iterator yields. Raises StoreFull; what an iterator raises, after cleaning up."""
        async with self._blobs.taking(content) as blob:
            now = self._clock.now()
            file = StoredFile(
                id=FileId(new_id("file-")),
                name=name,
                purpose=purpose,
                size_bytes=blob.size_bytes,
                sha256=blob.sha256,
                media_type=media_type or _TYPES.guess_type(name)[0] or _UNKNOWN,
                created_at=now,
                expires_at=None if expires_after_s is None else now + expires_after_s,
            )
            await self._truth.write(
                lambda pen: pen.execute(
                    f"INSERT INTO file (tenant, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
                    [
                        tenant,
                        file.id,
                        file.name,
                        file.purpose,
                        file.size_bytes,
                        file.sha256,
                        file.media_type,
                        file.created_at,
                        file.expires_at,
                    ],
                )
            )
        return file

    async def list_all(
        self,
        tenant: TenantId,
        *,
        purpose: str | None = None,
        limit: int = 10_000,
        after: FileId | None = None,
        is_newest_first: bool = True,
    ) -> list[StoredFile]:
        """Return files by creation; what has expired is not among them."""
        order, beyond = ("DESC", "<") if is_newest_first else ("ASC", ">")
        rows = await self._truth.read(
            f"SELECT {_COLUMNS} FROM file WHERE tenant = $1 AND ($2 IS NULL OR purpose = $2) "  # noqa: S608 - constants
            f"AND ($3 IS NULL OR id {beyond} $3) AND (expires_at IS NULL OR expires_at > $4) "
            f"ORDER BY id {order} LIMIT $5",
            [tenant, purpose, after, self._clock.now(), limit],
        )
        return [_file(row) for row in rows]

    async def find(self, tenant: TenantId, file: FileId) -> StoredFile:
        """Return one. Raises NotFound, also where it has expired."""
        rows = await self._truth.read(
            f"SELECT {_COLUMNS} FROM file WHERE id = ? AND tenant = ? "  # noqa: S608 - constants
            "AND (expires_at IS NULL OR expires_at > ?)",
            [file, tenant, self._clock.now()],
        )
        if not rows:
            raise _no_file(file)
        return _file(rows[0])

    async def path(self, tenant: TenantId, file: FileId) -> Path:
        """Return where its bytes lie, to be read and never changed. Raises NotFound, StoreDamaged."""
        found = await self.find(tenant, file)
        if not await self._blobs.has(found.sha256):
            message = (
                f"The bytes of file '{file}' are gone from the disk. Upload it again, or restore a backup."
            )
            raise StoreDamaged(Fault(code="store_damaged", message=message))
        return self._blobs.path(found.sha256)

    async def remove(self, tenant: TenantId, file: FileId) -> None:
        """Remove a file, and its bytes unless something else is made of them. Raises NotFound."""

        def _remove(pen: Pen) -> str:
            rows = pen.rows("SELECT sha256 FROM file WHERE id = ? AND tenant = ?", [file, tenant])
            if not rows:
                raise _no_file(file)
            pen.execute("DELETE FROM file WHERE id = ?", [file])
            return str(rows[0][0])

        await self._drop_bytes([await self._truth.write(_remove, is_making_room=True)])

    async def remove_expired(self) -> int:
        """Remove files whose time is over; return how many."""
        now = self._clock.now()

        def _remove(pen: Pen) -> list[str]:
            rows = pen.rows("SELECT sha256 FROM file WHERE expires_at <= ?", [now])
            if rows:
                pen.execute("DELETE FROM file WHERE expires_at <= ?", [now])
            return [row[0] for row in rows]

        hashes = await self._truth.write(_remove, is_making_room=True)
        await self._drop_bytes(hashes)
        return len(hashes)

    async def _drop_bytes(self, hashes: Sequence[str]) -> None:
        for sha256 in hashes:

            async def _is_named(sha256: str = sha256) -> bool:
                return bool(await self._truth.read(_NAMED_ONE, [sha256]))

            await self._blobs.remove_unless(sha256, _is_named)


_NAMED_ONE = """
    SELECT 1 FROM file WHERE sha256 = $1 UNION ALL SELECT 1 FROM document WHERE content_hash = $1 LIMIT 1
"""
_NAMED = "SELECT sha256 FROM file UNION SELECT content_hash FROM document WHERE content_hash <> ''"


async def named_hashes(truth: Truth) -> set[str]:
    """Return the hashes of all contents that rows name."""
    return {row[0] for row in await truth.read(_NAMED)}


def _file(row: Sequence[Any]) -> StoredFile:
    return StoredFile(
        id=FileId(row[0]),
        name=row[1],
        purpose=row[2],
        size_bytes=row[3],
        sha256=row[4],
        media_type=row[5],
        created_at=row[6],
        expires_at=row[7],
    )


def _no_file(file: FileId) -> NotFound:
    return NotFound(Fault(code="not_found", message=f"There is no file '{file}'."))
