"""The first stage: documents are read and cut, and what came of it is stored: their words can be found.

    work at `read` ─► reader (a child) ─► one transaction: body, chunks, older ones gone ─► work at `vectors`

So many documents are read side by side as there are readers, of large ones one less: small documents never
wait behind large ones alone. Nothing is held in memory but those and the few whose turn is next.
"""

import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import anyio
import msgspec

from runtime.core.errors import LarError, StoreFull
from runtime.core.ids import DocumentId, TenantId
from runtime.core.knowledge import Chunking, DocumentFault
from runtime.core.recall_facts import RecallFailed
from runtime.recall.documents import ReadText, fail, replace_older, store_text
from runtime.recall.ingest.adding import UNKNOWN
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.tasks import EndedJob, end_tasks, forget_gone, is_at_stage
from runtime.recall.ingest.turns import Waiting, next_waiting
from runtime.recall.marks import Shelfmark
from runtime.recall.parse.limits import Limits
from runtime.recall.parse.reader import Reading
from runtime.recall.truth import NewChunk, Pen

logger = logging.getLogger(__name__)

_WINDOW = 16
"""Documents whose turn was found out at once; whoever comes meanwhile waits for no more than these."""
_BACKSTOP_S = 2 * 3600.0
"""The reader bounds itself, and so does whoever writes down recordings; this is for their failure."""
_FULL_RETRY_S = 30.0
"""A full disk is tried again so often: somebody may have made room."""


class Reader(Protocol):
    """Reads documents; `runtime.recall.parse.reader.Reader` does."""

    async def read_and_cut(
        self, path: Path, name: str, media_type: str | None, limits: Limits | None, chunking: Chunking
    ) -> Reading | DocumentFault:
        """Return the text and its pieces, or why there is none."""


class _ToRead(NamedTuple):
    """What the row of a document says that is to be read."""

    name: str
    media_type: str
    content_hash: str
    chunking: Chunking
    language: str


class ReadStage:
    """Reads what waits to be read, for ever."""

    def __init__(self, stores: Stores, reader: Reader, limits: Limits, count: int) -> None:
        self._stores = stores
        self._reader = reader
        self._limits = limits
        self._count = count
        self._large = 0
        self._next: deque[Waiting] = deque()
        self._choosing = anyio.Lock()

    async def run_forever(self) -> None:
        """Read side by side. For the task group of ingestion."""
        async with anyio.create_task_group() as tasks:
            for _ in range(self._count):
                tasks.start_soon(self._work_forever)

    async def _work_forever(self) -> None:
        while True:
            waiting = await self._take()
            try:
                await self._read_one(waiting)
            finally:
                self._large -= waiting.is_large
                self._stores.live.end_reading(waiting.document)
                if waiting.is_large:
                    self._stores.live.bells["read"].ring()

    async def _take(self) -> Waiting:
        """Wait for a document whose turn it is, and mark it as being read."""
        async with self._choosing:
            while True:
                rung = self._stores.live.bells["read"].next
                while self._next:
                    waiting = self._next.popleft()
                    if waiting.is_large and not self._may_take_large:
                        continue
                    self._large += waiting.is_large
                    return waiting

                await self._look()
                if not self._next:
                    await rung.wait()

    @property
    def _may_take_large(self) -> bool:
        return self._large < max(1, self._count - 1)

    async def _look(self) -> None:
        found = await next_waiting(
            self._stores.truth,
            "read",
            _WINDOW,
            at_work=self._stores.live.reading,
            is_large=None if self._may_take_large else False,
        )
        self._next.extend(found)

    async def _read_one(self, waiting: Waiting) -> None:
        """Read a document; whatever becomes of it, the next one is read."""
        document = waiting.document
        scope = self._stores.live.begin_reading(document)
        with scope:
            try:
                await self._read(waiting)
            except StoreFull:
                logger.warning("the disk is full, reading waits", extra={"document": document})
                await anyio.sleep(_FULL_RETRY_S)
            except Exception as problem:
                # The border of the stage: the document fails, not the others.
                logger.exception("a document could not be read", extra={"document": document})
                await self._give_up(waiting, problem)

    async def _give_up(self, waiting: Waiting, problem: Exception) -> None:
        message = "Lar itself failed while it read this document; 'lar logs' tells more. Retry the job."
        if isinstance(problem, LarError):
            message = problem.fault.message
        try:
            await self._fail(waiting, DocumentFault(code="internal_error", message=message))
        except Exception:
            # Not even that can be stored: it waits where it is.
            logger.exception("the end of a document could not be stored")
            await anyio.sleep(_FULL_RETRY_S)

    async def _read(self, waiting: Waiting) -> None:
        rows = await self._stores.truth.read(_TO_READ, [waiting.document])
        mark = self._stores.marks.by_ns(waiting.ns)
        if not rows or mark is None:
            await self._forget_gone()
            return

        asked = _to_read(rows[0])
        self._stores.live.names[waiting.document] = asked.name
        media_type = None if asked.media_type == UNKNOWN else asked.media_type
        path = self._stores.blobs.path(asked.content_hash)
        read: Reading | DocumentFault = _too_slow()
        with anyio.move_on_after(self._limits.time_s + _BACKSTOP_S):
            read = await self._reader.read_and_cut(path, asked.name, media_type, self._limits, asked.chunking)
        if isinstance(read, Reading) and not read.pieces:
            message = "There is no text in this document. Add one that has text in it."
            read = DocumentFault(code="no_text", message=message)
        if isinstance(read, DocumentFault):
            await self._fail(waiting, read)
        else:
            await self._store(waiting, _read_text(read, asked, mark))

    async def _store(self, waiting: Waiting, read: ReadText) -> None:
        """Store text and chunks; older documents of the same name give way in the same moment."""
        now = self._stores.clock.now()
        document, ns = waiting.document, waiting.ns

        def _work(pen: Pen) -> tuple[list[DocumentId], list[EndedJob]]:
            if not is_at_stage(pen, document, "read"):
                return [], []

            store_text(pen, ns, document, read, now)
            gone = replace_older(pen, ns, document)
            pen.execute("UPDATE work SET stage = 'vectors' WHERE document = ?", [document])
            return gone, end_tasks(pen, gone, "done", now)

        def _tell(told: tuple[list[DocumentId], list[EndedJob]]) -> None:
            gone, ended = told
            self._stores.live.stop(gone)
            self._stores.tell_ended(ended)
            self._stores.tell_forgotten(ns, gone)
            self._stores.live.bells["vectors"].ring()

        await self._stores.write(_work, _tell)

    async def _fail(self, waiting: Waiting, fault: DocumentFault) -> None:
        await fail_document(self._stores, waiting.ns, waiting.document, fault)

    async def _forget_gone(self) -> None:
        """End the work on documents that were removed; one that was only cancelled has none left."""
        now = self._stores.clock.now()
        await self._stores.write(lambda pen: forget_gone(pen, now), self._stores.tell_ended)


async def fail_document(stores: Stores, ns: int, document: DocumentId, fault: DocumentFault) -> None:
    """Note why a document under way could not be taken in, and tell. What is stored of it stays."""
    now = stores.clock.now()

    def _work(pen: Pen) -> tuple[str | None, list[EndedJob]]:
        rows = pen.rows(
            "SELECT d.name FROM document d JOIN work w ON w.document = d.id WHERE d.id = ?", [document]
        )
        if not rows:
            return None, end_tasks(pen, [document], "cancelled", now)

        fail(pen, document, fault, now)
        return rows[0][0], end_tasks(pen, [document], "failed", now, fault)

    def _tell(told: tuple[str | None, list[EndedJob]]) -> None:
        name, ended = told
        mark = stores.marks.by_ns(ns)
        if name is not None and mark is not None:
            fact = RecallFailed(
                collection=mark.collection,
                document=document,
                name=name,
                code=fault.code,
                message=fault.message,
            )
            stores.publish(fact, TenantId(mark.tenant))
        stores.tell_ended(ended)

    await stores.write(_work, _tell)


_TO_READ = (
    "SELECT d.name, d.media_type, d.content_hash, d.chunking, d.language FROM document d "
    "JOIN work w ON w.document = d.id AND w.stage = 'read' WHERE d.id = ?"
)


def _to_read(row: Sequence[str]) -> _ToRead:
    name, media_type, content_hash, chunking, language = row
    return _ToRead(name, media_type, content_hash, msgspec.json.decode(chunking, type=Chunking), language)


def _read_text(read: Reading, asked: _ToRead, mark: Shelfmark) -> ReadText:
    parsed = read.parsed
    chunks = [
        NewChunk(each.ordinal, each.start, each.end, msgspec.json.encode(each.heading).decode(), each.text)
        for each in read.pieces
    ]
    of_collection = "" if mark.language == "auto" else mark.language
    return ReadText(
        text=parsed.text,
        chunks=chunks,
        title=parsed.title,
        media_type=parsed.media_type,
        language=asked.language or of_collection or parsed.language,
        notes=parsed.notes,
    )


def _too_slow() -> DocumentFault:
    message = "Its reader did not come back within hours. Split it and add its parts."
    return DocumentFault(code="too_slow", message=message)
