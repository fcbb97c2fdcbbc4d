"""Another embedding: old vectors serve until the new ones are all there, then they go; a restart goes on."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from runtime.core.errors import Fault, RequestInvalid
from runtime.core.ids import LOCAL_TENANT, DocumentId, ModelId
from runtime.core.knowledge import CollectionChange, Document, Job
from runtime.recall.documents import insert_document
from runtime.recall.truth import NewChunk, Pen
from tests.kit.embedder import MODEL, WordEmbedder
from tests.kit.ingest_stage import LIMIT_S, Stage, built_stage, open_stage, text

OTHER = ModelId("others")


def two_models(**more: object) -> WordEmbedder:
    return WordEmbedder(installed=[MODEL, OTHER], **more)  # type: ignore[arg-type]  # told by the test


async def reembed(stage: Stage, **change: object) -> Job:
    """Ask for another embedding; return the job."""
    collection = await stage.collection()
    told = CollectionChange(**change)  # type: ignore[arg-type]  # told by the test
    await stage.collections.change(LOCAL_TENANT, collection.id, told)
    jobs = await stage.ingestion.jobs.list_all(LOCAL_TENANT)
    return next(each for each in jobs if each.kind == "reembed")


async def swept(stage: Stage) -> None:
    """Wait until the vectors of former spaces are gone."""
    with anyio.fail_after(LIMIT_S):
        while await stage.count("space") > 1:
            await anyio.lowlevel.checkpoint()


async def spaces(stage: Stage) -> dict[int, int]:
    """Return how many vectors each space has."""
    rows = await stage.truth.read("SELECT space, count(*) FROM vector GROUP BY space")
    return dict(rows)


async def test_vectors_are_made_anew_then_swapped_then_the_old_ones_go(tmp_path: Path) -> None:
    async with open_stage(tmp_path, embedder=two_models()) as stage:
        await stage.taken_in(*(text(f"{index}.txt", f"apple {index}", "pears") for index in range(30)))
        before = await stage.collection()
        job = await reembed(stage, embedding_model=OTHER, dimensions=32)
        ended = await stage.over(job)

        assert (ended.kind, ended.status, ended.total, ended.done) == ("reembed", "completed", 30, 30)
        after = await stage.collection()
        assert before.embedding.model == MODEL
        assert (after.embedding.model, after.embedding.dimensions) == (OTHER, 32)
        assert not after.is_reembedding
        await swept(stage)
        assert list((await spaces(stage)).values()) == [60]
        rows = await stage.truth.read("SELECT DISTINCT octet_length(e) FROM vector")
        assert rows == [(64,)]
        await stage.check()


async def test_old_vectors_serve_until_the_swap_and_new_documents_get_both(tmp_path: Path) -> None:
    gate = anyio.Event()

    async def _before(texts: Sequence[str]) -> None:
        if embedder.models[-1] == OTHER:
            await gate.wait()

    embedder = two_models(before=_before)
    async with open_stage(tmp_path, embedder=embedder) as stage:
        await stage.taken_in(text("a.txt", "apples"))
        job = await reembed(stage, embedding_model=OTHER)
        assert job.status == "running"
        added, (document,) = await stage.taken_in(text("b.txt", "pears"))
        collection = await stage.collection()
        assert (added.done, document.status) == (1, "completed")
        assert (collection.is_reembedding, collection.embedding.model) == (True, MODEL)

        gate.set()
        assert (await stage.over(job)).done == 2
        await swept(stage)
        assert list((await spaces(stage)).values()) == [2]
        await stage.check()


async def test_learnt_dimensions_are_not_asked_for(tmp_path: Path) -> None:
    asked: list[int | None] = []

    class _Asked(WordEmbedder):
        async def embed(
            self, model: ModelId, texts: Sequence[str], *, dimensions: int | None, is_background: bool
        ) -> list[bytes]:
            asked.append(dimensions)
            return await super().embed(model, texts, dimensions=dimensions, is_background=is_background)

    async with open_stage(tmp_path, embedder=_Asked()) as stage:
        await stage.taken_in(text("a.txt", "apples"))
        assert (await stage.collection()).embedding.dimensions == 64
    async with open_stage(tmp_path, embedder=_Asked()) as stage:
        await stage.taken_in(text("b.txt", "pears"))
    assert asked == [None, None]


async def test_cancelling_the_job_gives_the_new_embedding_up(tmp_path: Path) -> None:
    async def _before(texts: Sequence[str]) -> None:
        if embedder.models[-1] == OTHER:
            await anyio.sleep_forever()

    embedder = two_models(before=_before)
    async with open_stage(tmp_path, embedder=embedder) as stage:
        await stage.taken_in(text("a.txt", "apples"))
        job = await reembed(stage, embedding_model=OTHER)
        cancelled = await stage.ingestion.jobs.cancel(LOCAL_TENANT, job.id)

        assert cancelled.status == "cancelled"
        collection = await stage.collection()
        assert (collection.is_reembedding, collection.embedding.model) == (False, MODEL)
        assert (await stage.taken_in(text("b.txt", "pears")))[0].done == 1
        await stage.check()


async def test_wanting_the_old_embedding_again_ends_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.recall.ingest.reembed._MEASURE_EVERY_S", 0.01)

    async def _before(texts: Sequence[str]) -> None:
        if embedder.models[-1] == OTHER:
            await anyio.sleep_forever()

    embedder = two_models(before=_before)
    async with open_stage(tmp_path, embedder=embedder) as stage:
        await stage.taken_in(text("a.txt", "apples"))
        job = await reembed(stage, embedding_model=OTHER)
        change = CollectionChange(embedding_model=MODEL)
        await stage.collections.change(LOCAL_TENANT, (await stage.collection()).id, change)

        assert (await stage.over(job)).status == "cancelled"
        assert (await stage.taken_in(text("b.txt", "pears")))[0].done == 1
        await stage.check()


async def test_a_third_embedding_takes_the_place_of_the_second(tmp_path: Path) -> None:
    third = ModelId("third")

    async def _before(texts: Sequence[str]) -> None:
        if embedder.models[-1] == OTHER:
            await anyio.sleep_forever()

    embedder = two_models(before=_before)
    embedder.installed.add(third)
    async with open_stage(tmp_path, embedder=embedder) as stage:
        await stage.taken_in(text("a.txt", "apples"))
        second = await reembed(stage, embedding_model=OTHER)
        last = await reembed(stage, embedding_model=third)

        assert (await stage.over(second)).status == "cancelled"
        assert (await stage.over(last)).status == "completed"
        assert (await stage.collection()).embedding.model == third
        await swept(stage)
        await stage.check()


async def test_a_document_that_the_new_model_refuses_is_listed_and_found_by_words(tmp_path: Path) -> None:
    async def _before(texts: Sequence[str]) -> None:
        if embedder.models[-1] == OTHER and any("poison" in each for each in texts):
            raise RequestInvalid(Fault(code="invalid_request", message="Not this."))

    embedder = two_models(before=_before)
    async with open_stage(tmp_path, embedder=embedder) as stage:
        _, (bad, _) = await stage.taken_in(text("a.txt", "poison"), text("b.txt", "pears"))
        ended = await stage.over(await reembed(stage, embedding_model=OTHER))

        assert (ended.status, ended.total, ended.done, ended.failed) == ("completed", 2, 1, 1)
        assert ended.failures[0].document == bad.id
        found = await stage.ingestion.documents.find(LOCAL_TENANT, bad.id)
        assert (found.status, found.chunks) == ("failed", 1)
        stage.embedder.before = None
        again = await stage.ingestion.jobs.retry(LOCAL_TENANT, ended.id)
        assert (await stage.over(again)).done == 1
        await swept(stage)
        await stage.check()


@pytest.mark.parametrize("stops", [1, 3])
async def test_a_restart_goes_on_with_what_is_left(tmp_path: Path, stops: int) -> None:
    count = 0

    async def _before(texts: Sequence[str]) -> None:
        nonlocal count
        if embedder.models[-1] == OTHER:
            count += 1
            if count % 2 == 0 and count <= 2 * stops:
                reached.set()
                await anyio.sleep_forever()

    embedder = two_models(before=_before)
    reached = anyio.Event()
    async with open_stage(tmp_path, embedder=embedder) as stage:
        await stage.taken_in(*(text(f"{index}.txt", *(f"word {n}" for n in range(40))) for index in range(4)))
        job = await reembed(stage, embedding_model=OTHER)
        await reached.wait()
    for _ in range(stops - 1):
        reached = anyio.Event()
        async with open_stage(tmp_path, embedder=embedder) as stage:
            await reached.wait()
    async with open_stage(tmp_path, embedder=embedder) as stage:
        ended = await stage.over(job)
        assert (ended.status, ended.done) == ("completed", 4)
        await swept(stage)
        assert list((await spaces(stage)).values()) == [160]
        await stage.check()


async def test_vectors_that_items_of_memory_lack_are_made(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        mark = await stage.collections.memory_of(LOCAL_TENANT)
        item = Document(
            id=DocumentId("itm_1"),
            collection=mark.collection,
            name="",
            status="completed",
            chunks=1,
            created_at=1,
            changed_at=1,
        )

        def _remember(pen: Pen) -> None:
            insert_document(pen, mark.ns, LOCAL_TENANT, item)
            pen.put_chunks(mark.ns, item.id, [NewChunk(0, 0, 6, "[]", "apples")])

        await stage.truth.write(_remember)
    async with open_stage(tmp_path) as stage:
        with anyio.fail_after(LIMIT_S):
            while not await stage.count("vector"):
                await anyio.lowlevel.checkpoint()
        await stage.truth.write(lambda pen: pen.execute("DELETE FROM vector"))
        stage.ingestion.heal(mark.ns)
        with anyio.fail_after(LIMIT_S):
            while not await stage.count("vector"):
                await anyio.lowlevel.checkpoint()
        assert stage.embedder.batches == [["apples"], ["apples"]]
