"""Collections, documents and jobs over a search stage: each document is one chunk, stored at once."""

from collections.abc import Sequence
from typing import Any, cast

import anyio.lowlevel

from runtime.core.ids import CollectionId, JobId, TenantId
from runtime.core.knowledge import Collection, Document, Job, NewCollection, NewDocument
from runtime.core.recall import Recall
from tests.kit.embedder import MODEL
from tests.kit.search_stage import SearchStage


class StageRecall:
    """Fulfils the part of `core.recall.Recall` that an evaluation uses."""

    def __init__(self, stage: SearchStage, language: str = "en") -> None:
        self.stage = stage
        self.language = language
        """Of all documents."""
        self.made: list[NewCollection] = []
        self.removed: list[CollectionId] = []
        self.jobs: list[Job] = []
        self.stands_still = False

    async def create(self, tenant: TenantId, new: NewCollection) -> Collection:
        self.made.append(new)
        mark = await self.stage.collection(
            f"evaluated{len(self.made)}", model=new.embedding_model or MODEL, language=new.language
        )
        return await self.find(tenant, mark.collection)

    async def find(self, tenant: TenantId, collection: CollectionId) -> Collection:
        mark = self.stage.marks.find_ns(tenant, collection)
        rows = await self.stage.truth.read("SELECT count(*) FROM chunk WHERE ns = $1", [mark.ns])
        return Collection(
            id=collection,
            name=mark.name,
            embedding=mark.embedding,
            created_at=0,
            last_active_at=0,
            chunks=rows[0][0],
        )

    async def remove(self, tenant: TenantId, collection: CollectionId) -> None:
        self.removed.append(collection)

    async def add(
        self, tenant: TenantId, collection: CollectionId, new: Sequence[NewDocument]
    ) -> tuple[Job, tuple[Document, ...]]:
        mark = self.stage.marks.find_ns(tenant, collection)
        failed = 0
        for each in new:
            if each.text == "broken":
                failed += 1
            else:
                await self.stage.document(mark, each.name, each.text or "", language=self.language)
        self.jobs.append(
            Job(
                id=JobId(f"job_{len(self.jobs)}"),
                kind="ingest",
                status="running" if self.stands_still else "completed",
                done=len(new) - failed,
                failed=failed,
                created_at=0,
            )
        )
        return self.jobs[-1], ()

    async def wait(self, tenant: TenantId, job: JobId, limit_s: float) -> Job:
        await anyio.lowlevel.checkpoint()
        return next(each for each in self.jobs if each.id == job)

    def recall(self) -> Recall:
        """Return it with the searcher of the stage; files, memories and sources are not there."""
        here, nothing = cast(Any, self), cast(Any, None)
        return Recall(
            collections=here,
            documents=here,
            jobs=here,
            searcher=self.stage.searcher,
            files=nothing,
            memories=nothing,
            sources=nothing,
        )
