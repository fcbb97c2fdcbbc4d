"""What OpenAI's routes must remember by themselves, such as which files a batch had: small JSON records.

A record is a stored file of a reserved purpose. So it is as durable as files are, belongs to its tenant,
goes by itself, and its id is made of the file's; `/v1/files` never shows it.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple, TypeVar

import anyio
import msgspec

from runtime.api.openai.files import KEPT_PREFIX
from runtime.core.errors import NotFound
from runtime.core.ids import FileId, TenantId
from runtime.core.knowledge import StoredFile
from runtime.core.recall import Files

_FILE = "file-"

_T = TypeVar("_T", bound=msgspec.Struct)


class Kind(NamedTuple):
    """A kind of record."""

    name: str
    prefix: str
    """Of its ids."""

    @property
    def purpose(self) -> str:
        """Of the files that hold such records."""
        return f"{KEPT_PREFIX}{self.name}"

    def id_of(self, file: FileId) -> str:
        """Return the id of the record that a file holds."""
        return f"{self.prefix}{file.removeprefix(_FILE)}"

    def file_of(self, record: str) -> FileId | None:
        """Return the file that holds a record; None where this is no id of the kind."""
        if not record.startswith(self.prefix):
            return None
        return FileId(f"{_FILE}{record.removeprefix(self.prefix)}")


async def keep_record(
    files: Files, tenant: TenantId, kind: Kind, body: msgspec.Struct, expires_after_s: float
) -> StoredFile:
    """Store a record; it is safe when this returns."""

    async def content() -> AsyncIterator[bytes]:
        yield msgspec.json.encode(body)

    return await files.add(
        tenant,
        kind.name,
        kind.purpose,
        content(),
        expires_after_s=expires_after_s,
        media_type="application/json",
    )


async def find_held(files: Files, tenant: TenantId, kind: Kind, record: str) -> StoredFile | None:
    """Return the file that holds a record of the kind; None where there is none."""
    file = kind.file_of(record)
    if file is None:
        return None

    try:
        stored = await files.find(tenant, file)
    except NotFound:
        return None
    return stored if stored.purpose == kind.purpose else None


async def read_record(files: Files, tenant: TenantId, stored: StoredFile, shape: type[_T]) -> _T:
    """Return what a record says. Raises NotFound."""
    path = anyio.Path(await files.path(tenant, stored.id))
    return msgspec.json.decode(await path.read_bytes(), type=shape)
