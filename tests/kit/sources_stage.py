"""Sources over real ingestion in a folder, with places that a test scripts."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from runtime.core.ids import LOCAL_TENANT, CollectionId, SourceId
from runtime.core.knowledge import Job, NewSource, Source, SourceKind
from runtime.core.recall_facts import SourceSynced
from runtime.recall.collections import EmbeddingDefaults, StoredCollections
from runtime.recall.ingest.ingestion import Pace
from runtime.recall.sources.rows import SourceRows
from runtime.recall.sources.sources import RecallSources
from runtime.recall.sources.sync import Given
from tests.kit.clock import FakeClock
from tests.kit.embedder import MODEL, WordEmbedder
from tests.kit.fake_fetcher import FakeFetcher
from tests.kit.ingest_stage import LIMIT_S, QUICK, ParagraphReader, Stage, built_stage
from tests.kit.scripted_origin import ScriptedOrigin

SITE = "https://docs.example/guide/"
KINDS: tuple[SourceKind, ...] = ("page", "sitemap", "feed", "git", "folder")


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds of what other tasks do."""
    with anyio.fail_after(LIMIT_S):
        while not holds():  # noqa: ASYNC110 - what is looked at tells nobody
            await anyio.sleep(0.005)


class ScriptedWatch:
    """Tells of changes in folders when a test says so."""

    def __init__(self) -> None:
        self.watched: dict[Path, anyio.Event] = {}
        self._changed = anyio.Event()

    async def __call__(self, path: Path, stopped: anyio.Event) -> AsyncGenerator[None, None]:
        self.watched[path] = stopped
        try:
            while not stopped.is_set():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_until_either, stopped, self._changed, tasks.cancel_scope)
                if not stopped.is_set():
                    yield
        finally:
            del self.watched[path]

    def change(self) -> None:
        """Tell that something changed everywhere."""
        former, self._changed = self._changed, anyio.Event()
        former.set()


async def _until_either(one: anyio.Event, other: anyio.Event, scope: anyio.CancelScope) -> None:
    async def _wait(event: anyio.Event) -> None:
        await event.wait()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_wait, one)
        tasks.start_soon(_wait, other)


@dataclass(kw_only=True)
class SourcesStage:
    """Sources with what is around them."""

    stage: Stage
    sources: RecallSources
    origin: ScriptedOrigin
    watch: ScriptedWatch
    clock: FakeClock
    collections: StoredCollections
    environment: dict[str, str]
    hosts: FakeFetcher
    """Knows where hosts are."""

    async def collection(self, name: str = "papers") -> CollectionId:
        """Return the collection of that name; made on first use."""
        return (await self.stage.collection(name)).id

    async def follow(self, uri: str = SITE, **told: Any) -> Source:
        """Follow a place; return it as it is once the first sync has ended."""
        source = await self.sources.add(LOCAL_TENANT, await self.collection(), NewSource(uri=uri, **told))
        assert source.job is not None
        await self.over(source.job)
        return await self.find(source.id)

    async def sync(self, source: SourceId) -> Job:
        """Sync now; return the job once it has ended."""
        return await self.over((await self.sources.sync(LOCAL_TENANT, source)).id)

    async def over(self, job: Any) -> Job:
        """Return the job once it has ended."""
        ended = await self.stage.ingestion.jobs.wait(LOCAL_TENANT, job, LIMIT_S)
        assert ended.finished_at is not None, ended
        return ended

    async def find(self, source: SourceId) -> Source:
        """Return a source."""
        return await self.sources.find(LOCAL_TENANT, source)

    async def texts(self) -> list[str]:
        """Return the texts that are stored, in order."""
        rows = await self.stage.truth.read(
            "SELECT b.text FROM body b JOIN document d ON d.id = b.document ORDER BY b.text"
        )
        return [row[0] for row in rows]

    def synced(self) -> list[SourceSynced]:
        """Return what was told of syncs."""
        return [fact for fact, _ in self.stage.facts if isinstance(fact, SourceSynced)]

    async def jobs(self) -> list[Job]:
        """Return all jobs, the newest first."""
        return await self.stage.ingestion.jobs.list_all(LOCAL_TENANT)


@asynccontextmanager
async def open_sources(
    folder: Path, *, clock: FakeClock | None = None, origin: ScriptedOrigin | None = None
) -> AsyncIterator[SourcesStage]:
    """Run ingestion and sources while the context lasts."""
    clock, origin, watch = clock or FakeClock(), origin or ScriptedOrigin(), ScriptedWatch()
    environment: dict[str, str] = {}
    hosts = FakeFetcher()
    async with (
        built_stage(
            folder,
            embedder=WordEmbedder(),
            reader=ParagraphReader(),
            clock=clock,
            pace=Pace(patience=QUICK),
        ) as stage,
        anyio.create_task_group() as tasks,
    ):
        given = Given(
            stores=stage.stores,
            ingestion=stage.ingestion,
            rows=SourceRows(stage.truth, stage.stores.marks),
            origins=dict.fromkeys(KINDS, origin),
            folder=folder / "looks",
            environment=environment,
            find_host=hosts.find_host,
            dice=lambda: 0.5,
        )
        sources = RecallSources(given, watch, quiet_s=0.0)
        stage.collections = StoredCollections(
            stage.truth,
            stage.stores.marks,
            clock,
            defaults=EmbeddingDefaults(MODEL),
            reembed=stage.ingestion.reembed,
            removed=[stage.ingestion.forget, sources.forget],
            publish=stage.stores.publish,
        )
        with anyio.fail_after(LIMIT_S * 2):
            await tasks.start(stage.ingestion.run_forever)
            await tasks.start(sources.run_forever)
            yield SourcesStage(
                stage=stage,
                sources=sources,
                origin=origin,
                watch=watch,
                clock=clock,
                collections=stage.collections,
                environment=environment,
                hosts=hosts,
            )
        tasks.cancel_scope.cancel()
