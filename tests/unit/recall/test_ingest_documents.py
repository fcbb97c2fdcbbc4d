"""Documents come in: acknowledged once safe, found by words, then complete; told again, they are known."""

from pathlib import Path

import anyio
import pytest

from runtime.core.errors import NotFound, RequestInvalid
from runtime.core.ids import LOCAL_TENANT, CollectionId, FileId, TenantId
from runtime.core.knowledge import NewDocument
from runtime.core.recall_facts import RecallFailed, RecallForgotten, RecallIngested, RecallJobEnded
from runtime.recall.parse.reader import open_reader
from tests.kit.ingest_stage import built_stage, open_stage, text


async def test_a_document_ends_completed_with_chunks_and_vectors(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        job, (document,) = await stage.taken_in(text("a.txt", "red apples", "green pears"))

        assert (job.status, job.total, job.done, job.failed) == ("completed", 1, 1, 0)
        assert (document.status, document.chunks, document.language) == ("completed", 2, "en")
        assert [each.text for each in await stage.ingestion.documents.chunks(LOCAL_TENANT, document.id)] == [
            "red apples",
            "green pears",
        ]
        assert await stage.ingestion.documents.text(LOCAL_TENANT, document.id) == "red apples\n\ngreen pears"
        path = await stage.ingestion.documents.path(LOCAL_TENANT, document.id)
        assert await anyio.Path(path).read_bytes() == b"red apples\n\ngreen pears"
        assert await stage.count("vector") == 2
        assert [type(fact) for fact, _ in stage.facts] == [RecallIngested, RecallJobEnded]
        await stage.check()


async def test_the_same_bytes_under_the_same_name_are_not_read_again(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        _, (first,) = await stage.taken_in(text("a.txt", "red apples"))
        job, (again,) = await stage.taken_in(text("a.txt", "red apples"))
        _, (other,) = await stage.taken_in(text("b.txt", "red apples"))

        assert again == first
        assert (job.status, job.total, job.done) == ("completed", 1, 1)
        assert other.id != first.id
        assert stage.reader.read_names == ["a.txt", "b.txt"]
        await stage.check()


async def test_the_same_bytes_twice_in_one_call_are_one_document(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        job, (one, other) = await stage.taken_in(text("a.txt", "apples"), text("a.txt", "apples"))

        assert one == other
        assert (job.status, job.total, job.done) == ("completed", 2, 2)
        assert await stage.count("document") == 1


async def test_a_document_under_way_is_waited_for_by_whoever_adds_it_again(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        one, (first,) = await stage.add(text("a.txt", "apples"))
        other, (again,) = await stage.add(text("a.txt", "apples"))
        assert again.id == first.id
        assert (other.status, other.total, other.done) == ("queued", 1, 0)

        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: stage.ingestion.run_forever(task_status=task_status))
            assert [(await stage.over(job)).done for job in (one, other)] == [1, 1]
            tasks.cancel_scope.cancel()
        await stage.check()


async def test_what_failed_before_is_read_again_in_its_place(tmp_path: Path) -> None:
    is_mended = False

    async def _before(name: str) -> None:
        if not is_mended:
            raise ValueError("not yet")

    async with open_stage(tmp_path) as stage:
        stage.reader.before = _before
        job, (document,) = await stage.taken_in(text("a.txt", "apples"))
        assert job.failed == 1
        assert document.fault is not None
        assert document.fault.code == "internal_error"

        is_mended = True
        job, (again,) = await stage.taken_in(text("a.txt", "apples"))
        assert (job.done, job.failed) == (1, 0)
        assert again.status == "completed"
        assert await stage.count("document") == 1
        await stage.check()


async def test_a_new_content_takes_the_place_of_the_old_one_once_it_is_stored(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        _, (old,) = await stage.taken_in(text("a.txt", "apples"))
        _, (new,) = await stage.taken_in(text("a.txt", "pears", "plums"))

        assert new.id != old.id
        assert await stage.count("document") == 1
        assert await stage.count("chunk") == 2
        with pytest.raises(NotFound):
            await stage.ingestion.documents.find(LOCAL_TENANT, old.id)
        await stage.check()


@pytest.mark.parametrize("replaces", ["name", "uri"])
async def test_what_gives_way_to_a_new_content_is_told_as_forgotten(tmp_path: Path, replaces: str) -> None:
    where = {"uri": "https://a.example/", "replaces": replaces}
    async with open_stage(tmp_path) as stage:
        _, (page,) = await stage.taken_in(text("a.txt", "apples", **where))
        assert not any(isinstance(fact, RecallForgotten) for fact, _ in stage.facts)
        await stage.taken_in(text("a.txt", "pears", **where))

        forgotten = [told for told in stage.facts if isinstance(told[0], RecallForgotten)]
        assert forgotten == [(RecallForgotten(collection=page.collection, documents=1), LOCAL_TENANT)]


async def test_a_new_content_that_fails_leaves_the_old_one_alone(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        _, (old,) = await stage.taken_in(text("a.txt", "apples"))
        job, (new,) = await stage.taken_in(text("a.txt", "broken"))

        assert (job.status, job.failed, job.failures[0].document) == ("completed", 1, new.id)
        assert new.status == "failed"
        assert (await stage.ingestion.documents.find(LOCAL_TENANT, old.id)).status == "completed"
        assert any(isinstance(fact, RecallFailed) and fact.code == "broken" for fact, _ in stage.facts)
        await stage.check()


async def test_two_contents_of_one_name_in_one_call_leave_the_later_one(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        job, _ = await stage.taken_in(text("a.txt", "apples"), text("a.txt", "pears"))

        assert (job.status, job.total, job.done) == ("completed", 2, 2)
        (left,) = await stage.ingestion.documents.list_all(LOCAL_TENANT, (await stage.collection()).id)
        assert await stage.ingestion.documents.text(LOCAL_TENANT, left.id) == "pears"
        await stage.check()


async def test_documents_replace_by_uri_or_not_at_all_as_told(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        where = {"uri": "https://a.example/", "replaces": "uri"}
        await stage.taken_in(text("old title", "apples", **where))
        _, (page,) = await stage.taken_in(text("new title", "pears", **where))
        await stage.taken_in(text("note", "one", replaces="nothing"), text("note", "two", replaces="nothing"))

        listed = await stage.ingestion.documents.list_all(LOCAL_TENANT, page.collection)
        assert sorted(each.name for each in listed) == ["new title", "note", "note"]
        await stage.check()


async def test_what_is_told_of_a_document_is_kept(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        _, (document,) = await stage.taken_in(
            text("a.txt", "maçãs", tags=("fruit",), attributes={"year": 2024}, language="pt", valid_from=5.0)
        )

        assert (document.tags, document.attributes) == (("fruit",), {"year": 2024})
        assert (document.language, document.valid_from, document.size_bytes) == ("pt", 5.0, 7)


async def test_a_document_is_given_exactly_one_way_and_has_a_name(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        for wrong in (
            NewDocument(name="a"),
            NewDocument(name="a", text="x", content=b"x"),
            NewDocument(name="", text="x"),
            NewDocument(name="x" * 1025, text="x"),
            NewDocument(name="nul\0", text="x"),
        ):
            with pytest.raises(RequestInvalid):
                await stage.add(wrong)
        with pytest.raises(NotFound):
            await stage.add(NewDocument(name="a", file=FileId("file-none")))
        with pytest.raises(NotFound):
            await stage.add(text("a", "x"), collection=CollectionId("vs_none"))
        assert await stage.count("job") + await stage.count("document") + await stage.count("work") == 0


async def test_any_text_is_a_name_and_never_a_path(tmp_path: Path) -> None:
    names = ["../../etc/passwd", "a/b\\c", "con", "'; DROP TABLE document; --", "名前", "x" * 1024]
    async with open_stage(tmp_path) as stage:
        _, documents = await stage.taken_in(*(text(each, f"about {each}") for each in names))

        assert [each.name for each in documents] == names
        assert all(each.status == "completed" for each in documents)


async def test_a_removed_document_is_gone_everywhere_and_its_work_ends(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        job, (document,) = await stage.add(text("a.txt", "apples"))
        await stage.ingestion.documents.remove(LOCAL_TENANT, document.id)

        ended = await stage.over(job)
        assert (ended.status, ended.total, ended.done) == ("completed", 1, 0)
        with pytest.raises(NotFound):
            await stage.ingestion.documents.remove(LOCAL_TENANT, document.id)
        await stage.check()


async def test_removing_a_collection_ends_what_is_under_way_in_it(tmp_path: Path) -> None:
    reached = anyio.Event()

    async def _hang(name: str) -> None:
        reached.set()
        await anyio.sleep_forever()

    async with open_stage(tmp_path) as stage:
        stage.reader.before = _hang
        job, (document,) = await stage.add(text("a.txt", "apples"))
        await reached.wait()
        await stage.collections.remove(LOCAL_TENANT, document.collection)

        assert (await stage.over(job)).status == "completed"
        assert await stage.count("chunk") == 0
        stage.reader.before = None
        await stage.taken_in(text("b.txt", "pears"))
        await stage.check()


async def test_a_cancelled_document_stops_in_the_midst_of_its_reading(tmp_path: Path) -> None:
    reached = anyio.Event()

    async def _hang(name: str) -> None:
        if name == "slow.txt":
            reached.set()
            await anyio.sleep_forever()

    async with open_stage(tmp_path) as stage:
        stage.reader.before = _hang
        job, (slow, _) = await stage.add(text("slow.txt", "apples"), text("b.txt", "pears"))
        await reached.wait()
        cancelled = await stage.ingestion.documents.cancel(LOCAL_TENANT, slow.id)

        assert cancelled.status == "cancelled"
        ended = await stage.over(job)
        assert (ended.status, ended.total, ended.done, ended.failed) == ("completed", 2, 1, 0)
        assert (await stage.ingestion.documents.cancel(LOCAL_TENANT, slow.id)).status == "cancelled"
        await stage.check()


async def test_tenants_do_not_see_each_others_documents_and_jobs(tmp_path: Path) -> None:
    other = TenantId("other")
    async with open_stage(tmp_path) as stage:
        job, (document,) = await stage.add(text("a.txt", "apples"), tenant=other)
        await stage.over(job, other)

        with pytest.raises(NotFound):
            await stage.add(text("b.txt", "x"), collection=document.collection)
        for call in (stage.ingestion.documents.find, stage.ingestion.documents.remove):
            with pytest.raises(NotFound):
                await call(LOCAL_TENANT, document.id)
        with pytest.raises(NotFound):
            await stage.ingestion.documents.cancel(LOCAL_TENANT, document.id)
        for ask in (stage.ingestion.jobs.find, stage.ingestion.jobs.cancel, stage.ingestion.jobs.retry):
            with pytest.raises(NotFound):
                await ask(LOCAL_TENANT, job.id)
        assert await stage.ingestion.jobs.list_all(LOCAL_TENANT) == []
        assert {tenant for _, tenant in stage.facts} == {other}


async def test_real_documents_go_through_the_real_reader(tmp_path: Path) -> None:
    async with open_reader(1, tesseract="") as reader, open_stage(tmp_path, reader=reader) as stage:
        markdown = "# Fruit\n\nApples are red and ripe in autumn.\n\n## Pears\n\nPears are green."
        job, (notes, broken, empty) = await stage.taken_in(
            NewDocument(name="fruit.md", text=markdown),
            NewDocument(name="b.pdf", content=b"%PDF-1.7 and no more"),
            NewDocument(name="c.txt", content=b""),
        )

        assert (job.done, job.failed) == (1, 2)
        assert (notes.status, notes.media_type, notes.language) == ("completed", "text/markdown", "en")
        assert [each.fault.code for each in (broken, empty) if each.fault] == ["broken", "empty"]
        chunks = await stage.ingestion.documents.chunks(LOCAL_TENANT, notes.id)
        assert all(each.text == markdown[each.start : each.end] for each in chunks)
        await stage.check()
