"""Measures how well a collection with judged queries is found, by each arm and by both together.

Takes any collection in BEIR layout, and Recall itself as faces see it: what is measured is what users get.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import anyio
import anyio.to_thread
import msgspec

from runtime.core.errors import Fault, ModelUnavailable, RequestInvalid
from runtime.core.ids import CollectionId, JobId, ModelId, TenantId
from runtime.core.knowledge import Chunking, Job, NewCollection, NewDocument, Query
from runtime.core.minting import new_id
from runtime.core.recall import Recall
from runtime.recall.beir import BeirDocument, BeirQuery, read_beir
from runtime.recall.metrics import mean, ndcg, percentile, recall, reciprocal_rank

ArmName = Literal["text", "vector", "hybrid", "reranked"]
Report = Callable[[str, int, int], None]
"""Told what is done now (`reading`, `searching`), how much of it is done, and of how much."""

_DEPTH = 100
"""Documents of which recall is counted."""
_CHUNKS = 400
"""Hits asked for where documents are cut: enough for a hundred documents."""
_BATCH = 256
"""Documents given at once."""
_LOOK_S = 1.0
_STALL_LIMIT_S = 900.0
"""For one more document to be taken in; a model may have to be installed first."""
_CLEANUP_LIMIT_S = 60.0
_WHOLE = Chunking(max_tokens=4096)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured."""

    model: ModelId | None = None
    """The embedder; None: Lar's default."""
    reranker: ModelId | None = None
    """A cross-encoder to be measured as a fourth arm."""
    is_whole: bool = False
    """Whether each document is one chunk, as in published figures, and not cut as Lar cuts it."""
    language: str = "auto"
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Queries at most; None: all."""


class ArmResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one arm reached, mean over the queries."""

    ndcg_10: float
    recall_10: float
    recall_100: float
    mrr_10: float
    latency_p50_s: float
    latency_p95_s: float
    """Of a search for ten hits: of `hybrid` with the embedding of a query that is new, else without."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What came out."""

    name: str
    """Of the folder."""
    model: ModelId
    documents: int
    chunks: int
    queries: int
    is_whole: bool
    reading_s: float
    """Until all documents could be found by words and by meaning."""
    arms: dict[ArmName, ArmResult]
    notes: tuple[str, ...] = ()


def _report_nothing(phase: str, done: int, total: int) -> None:
    """Do nothing."""


async def evaluate(
    folder: Path, inside: Recall, tenant: TenantId, trial: Trial, report: Report = _report_nothing
) -> Evaluation:
    """Take the collection in, ask its queries, and remove it again.

    Raises RequestInvalid for what is no such collection, ModelUnavailable where reading stands still.
    """
    beir = await anyio.to_thread.run_sync(read_beir, folder)
    queries = beir.queries[: trial.limit]
    if not queries:
        message = f"{folder}: no query of queries.jsonl is judged in its qrels."
        raise RequestInvalid(Fault(code="invalid_request", message=message, param="folder"))

    made = await inside.collections.create(
        tenant,
        NewCollection(
            name=f"{new_id('evaluation_')} {folder.name}"[:256],
            language=trial.language,
            embedding_model=trial.model,
            chunking=_WHOLE if trial.is_whole else None,
        ),
    )
    stage = _Stage(inside, tenant, made.id, trial, report)
    try:
        began = anyio.current_time()
        failed = await stage.take_in(beir.documents)
        reading_s = anyio.current_time() - began
        chunks = (await inside.collections.find(tenant, made.id)).chunks
        arms = await stage.ask(queries, beir.judged)
    finally:
        with anyio.move_on_after(_CLEANUP_LIMIT_S, shield=True):
            await inside.collections.remove(tenant, made.id)

    lost = (f"{failed} documents could not be taken in.",) if failed else ()
    return Evaluation(
        name=folder.name,
        model=made.embedding.model,
        documents=len(beir.documents),
        chunks=chunks,
        queries=len(queries),
        is_whole=trial.is_whole,
        reading_s=reading_s,
        arms=arms,
        notes=(*lost, *stage.notes),
    )


class _Stage:
    """One evaluation while it lasts."""

    def __init__(
        self, inside: Recall, tenant: TenantId, collection: CollectionId, trial: Trial, report: Report
    ) -> None:
        self._inside = inside
        self._tenant = tenant
        self._collection = collection
        self._trial = trial
        self._report = report
        self.notes: dict[str, None] = {}
        """What searches had to say, each once."""

    async def take_in(self, documents: Sequence[BeirDocument]) -> int:
        """Store all documents and wait for their vectors; return how many failed."""
        failed = 0
        for first in range(0, len(documents), _BATCH):
            self._report("reading", first, len(documents))
            new = [_document(each) for each in documents[first : first + _BATCH]]
            job, _ = await self._inside.documents.add(self._tenant, self._collection, new)
            failed += (await self._wait(job.id)).failed
        self._report("reading", len(documents), len(documents))
        return failed

    async def ask(
        self, queries: Sequence[BeirQuery], judged: Mapping[str, Mapping[str, int]]
    ) -> dict[ArmName, ArmResult]:
        """Ask every arm every query: as users do, for the time it takes, then for a hundred documents."""
        # The hybrid comes first: it alone meets queries whose vectors are not kept yet.
        arms: list[ArmName] = ["hybrid", "text", "vector"]
        if self._trial.reranker is not None:
            arms.append("reranked")
        quality: defaultdict[ArmName, list[tuple[float, ...]]] = defaultdict(list)
        times: defaultdict[ArmName, list[float]] = defaultdict(list)
        for done, each in enumerate(queries):
            self._report("searching", done, len(queries))
            for arm in arms:
                query = _query(each, self._collection, self._trial, arm)
                quick = await self._inside.searcher.search(self._tenant, query)
                times[arm].append(quick.took_s)
                deep = msgspec.structs.replace(query, limit=_DEPTH if self._trial.is_whole else _CHUNKS)
                found = await self._inside.searcher.search(self._tenant, deep)
                self.notes |= dict.fromkeys(found.notes)
                names = list(dict.fromkeys(hit.document.name for hit in found.hits))
                quality[arm].append(_measures(names, judged[each.id]))
        self._report("searching", len(queries), len(queries))
        return {arm: _result(quality[arm], times[arm]) for arm in arms}

    async def _wait(self, job: JobId) -> Job:
        """Return the job once it has ended. Raises ModelUnavailable where it does not go on."""
        done, moved_at = -1, anyio.current_time()
        while True:
            now = await self._inside.jobs.wait(self._tenant, job, _LOOK_S)
            if now.status not in ("queued", "running"):
                return now

            if now.done + now.failed != done:
                done, moved_at = now.done + now.failed, anyio.current_time()
            if anyio.current_time() - moved_at > _STALL_LIMIT_S:
                message = f"No document was taken in for {_STALL_LIMIT_S:.0f} s. 'lar doctor' may tell why."
                raise ModelUnavailable(Fault(code="engine_failed", message=message))


def _document(read: BeirDocument) -> NewDocument:
    return NewDocument(
        name=read.id,
        text=f"{read.title}\n\n{read.text}" if read.title else read.text,
        media_type="text/plain",
        replaces="nothing",
    )


def _query(asked: BeirQuery, collection: CollectionId, trial: Trial, arm: ArmName) -> Query:
    return Query(
        text=asked.text,
        collections=(collection,),
        arm="hybrid" if arm == "reranked" else arm,
        rerank=trial.reranker if arm == "reranked" and trial.reranker is not None else "none",
        is_deduplicated=False,  # judgements name one of two like documents
    )


def _measures(names: Sequence[str], judged: Mapping[str, int]) -> tuple[float, ...]:
    return (
        ndcg(names, judged, 10),
        recall(names, judged, 10),
        recall(names, judged, _DEPTH),
        reciprocal_rank(names, judged, 10),
    )


def _result(quality: Sequence[tuple[float, ...]], times: Sequence[float]) -> ArmResult:
    ndcg_10, recall_10, recall_100, mrr_10 = (mean(column) for column in zip(*quality, strict=True))
    return ArmResult(
        ndcg_10=ndcg_10,
        recall_10=recall_10,
        recall_100=recall_100,
        mrr_10=mrr_10,
        latency_p50_s=percentile(times, 0.5),
        latency_p95_s=percentile(times, 0.95),
    )
