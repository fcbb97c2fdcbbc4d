"""Recall as the server opens it, over an embedder of words; where it has no sources, they are in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from runtime.core.fact import Fact
from runtime.core.ids import CollectionId, TenantId
from runtime.core.knowledge import NewSource, Source
from runtime.core.recall import Collections, Recall
from runtime.core.settings import RecallSettings
from runtime.recall.opening import Given, open_recall
from tests.kit.clock import FakeClock
from tests.kit.embedder import MODEL, WordEmbedder
from tests.kit.fake_recall import FakeSources, Memory


class CheckedSources(FakeSources):
    """Sources in memory of collections that are real."""

    def __init__(self, memory: Memory, collections: Collections) -> None:
        super().__init__(memory)
        self._collections = collections

    async def add(self, tenant: TenantId, collection: CollectionId, new: NewSource) -> Source:
        self._memory.collections.put(tenant, await self._collections.find(tenant, collection))
        return await super().add(tenant, collection, new)


@asynccontextmanager
async def real_recall(folder: Path, clock: FakeClock) -> AsyncIterator[Recall]:
    """Open Recall in a folder; what it does behind the scenes goes on while the context lasts."""
    facts: list[tuple[Fact, TenantId]] = []
    given = Given(
        embedder=WordEmbedder(),
        publish=lambda fact, tenant: facts.append((fact, tenant)),
        clock=clock,
        embedding_model=MODEL,
    )
    async with open_recall(folder, RecallSettings(readers=1), given) as opened:
        recall = opened.recall
        if recall.sources is None:
            recall = replace(recall, sources=CheckedSources(Memory(folder, clock), recall.collections))
        yield recall
