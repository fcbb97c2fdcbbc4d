"""Documents that come with a request: their bytes go to disk as they arrive, then they are taken in.

The file that carries them is a guest: it is removed once the documents are stored, which keep the bytes.
"""

from collections.abc import Sequence

import anyio
from aiohttp import web

from runtime.api.multipart import FormFile
from runtime.api.openai.files import KEPT_PREFIX, TIDY_S, discard
from runtime.api.reach import recall_of, tenant_of
from runtime.core.ids import CollectionId, FileId
from runtime.core.knowledge import Document, Job, NewDocument

PURPOSE = f"{KEPT_PREFIX}intake"
EXPIRES_AFTER_S = 3600.0
"""A guest that a crash left behind goes by itself."""


class Intake:
    """What one request brings. Use it as an async context manager: on leaving the guests are removed."""

    def __init__(self, request: web.Request) -> None:
        self._recall = recall_of(request)
        self._tenant = tenant_of(request)
        self._guests: list[FileId] = []

    async def __aenter__(self) -> "Intake":
        return self

    async def __aexit__(self, *problem: object) -> None:
        with anyio.move_on_after(TIDY_S, shield=True):
            for guest in self._guests:
                await discard(self._recall.files, self._tenant, guest)

    async def keep(self, part: FormFile) -> FileId:
        """Store the bytes of a form's file. Raises Refused, StoreFull."""
        stored = await self._recall.files.add(
            self._tenant,
            part.filename,
            PURPOSE,
            part.chunks(),
            expires_after_s=EXPIRES_AFTER_S,
            media_type=part.media_type,
        )
        self._guests.append(stored.id)
        return stored.id

    async def add(
        self, collection: CollectionId, new: Sequence[NewDocument]
    ) -> tuple[Job, tuple[Document, ...]]:
        """Take documents in; they are safe on disk when this returns. Raises NotFound, StoreFull."""
        return await self._recall.documents.add(self._tenant, collection, new)
