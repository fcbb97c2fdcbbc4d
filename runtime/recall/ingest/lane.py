"""The second stage for one model: batches of texts go out, vectors come back and are stored.

    units ──► compose ──► the next batch waits ──► two batches at the model ──► one transaction each

While one batch is computed the next one is made, so the model never waits for Lar. A model that cannot be
reached holds everything here back, longer each time; a document that it cannot take fails alone. Where the
model stays away, documents end with their words, and a fill goes on waiting for it.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from runtime.core.errors import Fault, LarError, RequestInvalid
from runtime.core.ids import DocumentId, ModelId
from runtime.core.knowledge import DocumentFault, Embedding
from runtime.core.recall import Embedder
from runtime.recall.ingest.fetching import fetch_documents, fetch_fill
from runtime.recall.ingest.keeping import Kept, keep, pack, tell_kept
from runtime.recall.ingest.live import Live
from runtime.recall.ingest.reading import fail_document
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.turns import next_waiting
from runtime.recall.ingest.units import Batch, Size, Unit, compose
from runtime.recall.ingest.words_alone import end_with_words

logger = logging.getLogger(__name__)

OPEN_UNITS = 64
"""Documents whose chunks are in hand at once."""
_AT_THE_MODEL = 2
"""While the vectors of one batch are stored the model computes another."""
_LINGER_S = 0.25
"""While documents are being read a small batch waits so long for company: their words are found already."""
_DEATHS = 3
"""So often in a row may a model die over batches, until each document is tried alone."""
_FATAL = ("worker_died", "worker_silent")
_COMING = ("model_installing", "queue_full", "queue_timeout", "shutting_down")
"""With these a model says that it will be there by itself: it is waited for, however long."""


class LaneKey(NamedTuple):
    """What must be equal for texts to go in one batch."""

    model: ModelId
    dimensions: int | None
    """As asked for; None: the model's own."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a model is waited for."""

    first_rest_s: float = 1.0
    longest_rest_s: float = 60.0
    """A model that cannot be reached is asked again after the first, at last after the longest rest."""
    batch_limit_s: float = 600.0
    """For one batch, loading the model included; then the model is taken for hung."""
    absent_limit_s: float = 60.0
    """So long documents wait for a model that is unknown, cannot be installed or does not start."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What becomes of fills."""

    filled: Callable[[Unit], Awaitable[None]]
    """A fill has nothing left; it may be begun anew or be dropped."""
    failed: Callable[[Unit, DocumentId, DocumentFault], Awaitable[None]]
    """A document that the model cannot take."""
    heal: Callable[[int], None]
    """Have a namespace filled whose documents ended without vectors."""


class Lane:
    """Embeds with one model."""

    def __init__(
        self, stores: Stores, embedder: Embedder, key: LaneKey, patience: Patience, ends: Ends
    ) -> None:
        self._stores = stores
        self._embedder = embedder
        self._key = key
        self._patience = patience
        self._ends = ends
        self._units: deque[Unit] = deque()
        self._batches: dict[Batch, anyio.CancelScope] = {}
        self._size = Size()
        self._rest_s = patience.first_rest_s
        self._deaths = 0
        self._absent_since: float | None = None

    def add_fill(self, fill: Unit) -> None:
        """Embed what a fill stands for, too, unless that is being done."""
        if not any(
            (each.ns, each.space, each.document) == (fill.ns, fill.space, None) for each in self._units
        ):
            self._units.append(fill)

    def stop(self, documents: Sequence[DocumentId]) -> None:
        """Let go of documents whose vectors nobody wants any more."""
        unwanted = set(documents)
        for unit in self._units:
            unit.is_dropped = unit.is_dropped or unit.document in unwanted
        for batch, scope in self._batches.items():
            if not unwanted.isdisjoint(part.unit.document for part in batch.parts):
                scope.cancel()

    async def run_forever(self) -> None:
        """Embed what there is. For the task group of ingestion."""
        send, receive = anyio.create_memory_object_stream[Batch](0)
        async with anyio.create_task_group() as tasks, send, receive:
            for _ in range(_AT_THE_MODEL):
                tasks.start_soon(self._embed_forever, receive)
            await self._compose_forever(send)

    async def _compose_forever(self, send: MemoryObjectSendStream[Batch]) -> None:
        while True:
            rung = self._stores.live.bells["vectors"].next
            try:
                await self._prepare()
                if self._is_more_to_come:
                    await anyio.sleep(_LINGER_S)
                    await self._prepare()
            except Exception:
                # The border of the stage: a read or a write failed, the work is where it was.
                logger.exception("a batch could not be made", extra={"model": self._key.model})
                await anyio.sleep(self._patience.longest_rest_s)
                continue

            batch = compose(self._units, self._size)
            if batch is None:
                await rung.wait()
            else:
                await send.send(batch)

    @property
    def _is_more_to_come(self) -> bool:
        """Whether a batch would be small now and larger soon."""
        texts = sum(len(each.texts) for each in self._units)
        return 0 < texts < self._size.START_TEXTS and bool(self._stores.live.reading)

    async def _prepare(self) -> None:
        """Have texts in hand, as far as there are any."""
        self._sweep()
        await self._open_documents()
        thirsty = [each for each in self._units if each.is_thirsty]
        await fetch_documents(self._stores, [each for each in thirsty if each.document is not None])
        for unit in thirsty:
            if unit.document is None:
                await fetch_fill(self._stores, unit)
        await self._end_units([each for each in self._units if each.is_over])

    async def _open_documents(self) -> None:
        is_open = [each.document for each in self._units if each.document is not None]
        if len(is_open) > OPEN_UNITS // 2:
            return

        found = await next_waiting(
            self._stores.truth,
            "vectors",
            OPEN_UNITS - len(is_open),
            at_work=is_open,
            namespaces=self._namespaces(),
        )
        for waiting in found:
            mark = self._stores.marks.by_ns(waiting.ns)
            if mark is not None:
                self._units.append(Unit(waiting.ns, mark.space, waiting.document))

    def _namespaces(self) -> list[int]:
        """Return those whose documents are embedded here."""
        live = self._stores.live
        marks = self._stores.marks.all_marks()
        return [each.ns for each in marks if key_of(live, each.embedding, each.space) == self._key]

    async def _end_units(self, units: Sequence[Unit]) -> None:
        """End what has nothing left without a batch: all of it had its vectors already."""
        documents = [each.document for each in units if each.document is not None]
        if documents:
            now = self._stores.clock.now()
            await self._stores.write(
                lambda pen: keep(pen, self._stores, {}, documents, now),
                lambda kept: tell_kept(self._stores, kept),
            )
        for unit in units:
            if unit.document is None:
                await self._ends.filled(unit)
            else:
                unit.is_dropped = True
        if units:
            self._stores.live.bells["vectors"].ring()  # others may come in their place
        self._sweep()

    def _sweep(self) -> None:
        for unit in [each for each in self._units if each.is_dropped]:
            self._units.remove(unit)
            if unit.document is not None:
                self._stores.live.names.pop(unit.document, None)

    async def _embed_forever(self, receive: MemoryObjectReceiveStream[Batch]) -> None:
        async for batch in receive:
            await self._see_through(batch)
            self._stores.live.bells["vectors"].ring()

    async def _see_through(self, batch: Batch) -> None:
        """Store a batch's vectors, or find out what stands against it."""
        try:
            await self._embed(batch)
        except Exception:
            # The border of the stage: what could not be stored is embedded once more, later.
            logger.exception("a batch could not be stored", extra={"model": self._key.model})
            batch.give_back()
            await self._rest("The vectors could not be stored; 'lar logs' tells more.")

    async def _embed(self, batch: Batch) -> None:
        self._batches[batch] = anyio.CancelScope()
        began = self._stores.clock.monotonic()
        vectors: list[bytes] | LarError | None = None
        try:
            with self._batches[batch]:
                vectors = await self._ask([part.text.text for part in batch.parts])
        finally:
            del self._batches[batch]

        if vectors is None:  # stopped: some of it is unwanted
            batch.give_back()
        elif isinstance(vectors, LarError):
            await self._suffer(batch, vectors)
        else:
            self._size.learn(len(batch.parts), self._stores.clock.monotonic() - began)
            self._note_success(batch)
            await self._keep(batch, vectors)

    async def _ask(self, texts: Sequence[str]) -> list[bytes] | LarError:
        model, dimensions = self._key
        try:
            with anyio.fail_after(self._patience.batch_limit_s):
                vectors = await self._embedder.embed(model, texts, dimensions=dimensions, is_background=True)
        except LarError as problem:
            return problem
        except TimeoutError:
            message = f"'{model}' did not answer within {self._patience.batch_limit_s:g} s."
            return LarError(Fault(code="worker_silent", message=message))
        except Exception:
            # The border to the embedder: what it raises beyond its word counts as its death.
            logger.exception("the embedder broke", extra={"model": model})
            message = f"Lar itself failed while it embedded with '{model}'; 'lar logs' tells more."
            return LarError(Fault(code="worker_died", message=message))

        if len(vectors) != len(texts):
            message = f"'{model}' gave {len(vectors)} vectors for {len(texts)} texts."
            return LarError(Fault(code="engine_failed", message=message))
        return vectors

    async def _suffer(self, batch: Batch, problem: LarError) -> None:
        """Decide what a failure means: that the model is away, or that it cannot take some of the texts."""
        code = problem.fault.code
        if code in _FATAL:
            self._deaths += 1
        is_of_texts = (
            isinstance(problem, RequestInvalid)
            or code == "engine_failed"
            or (code in _FATAL and (batch.is_apart or self._deaths >= _DEATHS))
        )
        documents = batch.documents
        if not is_of_texts:
            batch.give_back()
            await self._end_with_words(problem.fault)
            await self._rest(f"Waiting for the model '{self._key.model}': {problem.fault.message}")
        elif len(documents) > 1:
            for part in batch.split():
                await self._see_through(part)
        else:
            batch.give_back()
            fault = DocumentFault(code="embedding_failed", message=problem.fault.message)
            await self._fail(batch, documents[0], fault)

    async def _end_with_words(self, fault: Fault) -> None:
        """Let documents wait no longer for a model that has been away for long; their vectors may follow."""
        now = self._stores.clock.monotonic()
        if fault.code in _COMING:
            self._absent_since = None
            return

        self._absent_since = now if self._absent_since is None else self._absent_since
        if now - self._absent_since < self._patience.absent_limit_s:
            return

        ended = await end_with_words(self._stores, self._namespaces(), fault.message)
        if not ended:
            return

        logger.warning("documents have no vectors", extra={"model": self._key.model, "documents": len(ended)})
        documents = {each.document for each in ended}
        for unit in self._units:
            unit.is_dropped = unit.is_dropped or unit.document in documents
        self._sweep()
        for ns in {each.ns for each in ended}:
            self._ends.heal(ns)

    async def _rest(self, why: str) -> None:
        """Leave the model alone for a while, longer each time."""
        self._stores.live.held[self._key.model] = why
        logger.info("embedding waits", extra={"model": self._key.model, "rest_s": self._rest_s})
        rest_s, self._rest_s = self._rest_s, min(self._rest_s * 2, self._patience.longest_rest_s)
        await anyio.sleep(rest_s)

    def _note_success(self, batch: Batch) -> None:
        self._rest_s = self._patience.first_rest_s
        self._absent_since = None
        self._stores.live.held.pop(self._key.model, None)
        if not batch.is_apart:
            self._deaths = 0

    async def _keep(self, batch: Batch, vectors: Sequence[bytes]) -> None:
        packed = await anyio.to_thread.run_sync(pack, self._stores, batch.parts, vectors)
        over = [
            unit.document
            for unit, count in batch.counts().items()
            if unit.document is not None and unit.document not in packed.unfit and unit.is_over_after(count)
        ]
        now = self._stores.clock.now()

        def _tell(kept: Kept) -> None:
            batch.settle()
            finished = {each.document for each in kept.finished}
            for unit in batch.counts():
                unit.is_dropped = unit.is_dropped or unit.document in finished
            self._sweep()
            tell_kept(self._stores, kept)

        await self._stores.write(lambda pen: keep(pen, self._stores, packed.halves, over, now), _tell)
        for document, unfit in packed.unfit.items():
            fault = DocumentFault(code="embedding_failed", message=unfit.message)
            await self._fail(batch, document, fault)

    async def _fail(self, batch: Batch, document: DocumentId, fault: DocumentFault) -> None:
        """Fail a document of a batch: for its unit, and for each fill that it is in."""
        units = {part.unit for part in batch.parts if part.text.document == document}
        for unit in units:
            unit.is_dropped = unit.is_dropped or unit.document == document
            unit.skipped.add(document)
            unit.texts = deque(text for text in unit.texts if text.document != document)
        for unit in units:
            if unit.document is None:
                await self._ends.failed(unit, document, fault)
            else:
                await fail_document(self._stores, unit.ns, document, fault)


def key_of(live: Live, embedding: Embedding, space: int) -> LaneKey:
    """Return where texts of a space are embedded."""
    return LaneKey(embedding.model, None if space in live.learnt else embedding.dimensions)
