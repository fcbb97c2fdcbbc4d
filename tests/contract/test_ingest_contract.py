"""What documents and jobs of Recall must do, asked of the ones in memory and of the real ones alike."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from runtime.core.errors import Conflict, NotFound
from runtime.core.ids import LOCAL_TENANT, CollectionId, DocumentId, JobId, TenantId
from runtime.core.knowledge import Document, Job, NewCollection, NewDocument
from runtime.core.recall import Recall
from tests.kit.clock import FakeClock
from tests.kit.fake_recall import fake_recall
from tests.kit.real_recall import real_recall

LIMIT_S = 30.0
OTHER = TenantId("other")


@pytest.fixture(params=["fake", "real"])
async def recall(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Recall]:
    if request.param == "fake":
        yield fake_recall(tmp_path, FakeClock())[0]
    else:
        async with real_recall(tmp_path, FakeClock()) as real:
            yield real


@pytest.fixture
async def shelf(recall: Recall) -> CollectionId:
    return (await recall.collections.create(LOCAL_TENANT, NewCollection(name="shelf"))).id


async def taken_in(recall: Recall, shelf: CollectionId, *new: NewDocument) -> tuple[Job, list[Document]]:
    """Add documents; return the job once it has ended, and the documents as they are then."""
    job, documents = await recall.documents.add(LOCAL_TENANT, shelf, new)
    ended = await recall.jobs.wait(LOCAL_TENANT, job.id, LIMIT_S)
    return ended, [await recall.documents.find(LOCAL_TENANT, each.id) for each in documents]


async def test_what_is_added_can_be_read_back(recall: Recall, shelf: CollectionId) -> None:
    job, (document,) = await taken_in(recall, shelf, NewDocument(name="a.txt", text="apples\n\npears"))

    assert (job.kind, job.status, job.collection) == ("ingest", "completed", shelf)
    assert (job.total, job.done, job.failed) == (1, 1, 0)
    assert (document.name, document.status) == ("a.txt", "completed")
    assert await recall.documents.text(LOCAL_TENANT, document.id) == "apples\n\npears"
    chunks = await recall.documents.chunks(LOCAL_TENANT, document.id)
    assert [each.ordinal for each in chunks] == [*range(document.chunks)] != []
    assert all(each.text == "apples\n\npears"[each.start : each.end] for each in chunks)
    path = await recall.documents.path(LOCAL_TENANT, document.id)
    assert await anyio.Path(path).read_bytes() == b"apples\n\npears"
    assert await recall.documents.find_by_name(LOCAL_TENANT, shelf, "a.txt") == document
    assert await recall.documents.find_by_name(LOCAL_TENANT, shelf, "b.txt") is None


async def test_a_file_becomes_a_document(recall: Recall, shelf: CollectionId) -> None:
    async def _content() -> AsyncIterator[bytes]:
        yield b"apples"

    file = await recall.files.add(LOCAL_TENANT, "a.txt", "assistants", _content())
    _, (document,) = await taken_in(recall, shelf, NewDocument(name=file.name, file=file.id))

    assert (document.file, document.content_hash) == (file.id, file.sha256)
    assert await recall.documents.find_by_file(LOCAL_TENANT, shelf, file.id) == document


async def test_the_same_bytes_are_taken_in_once_and_other_bytes_replace_them(
    recall: Recall, shelf: CollectionId
) -> None:
    _, (first,) = await taken_in(recall, shelf, NewDocument(name="a.txt", content=b"apples"))
    _, (same,) = await taken_in(recall, shelf, NewDocument(name="a.txt", content=b"apples"))
    _, (other,) = await taken_in(recall, shelf, NewDocument(name="a.txt", content=b"pears"))

    assert same.id == first.id != other.id
    assert [each.id for each in await recall.documents.list_all(LOCAL_TENANT, shelf)] == [other.id]


async def test_a_failure_is_listed_and_stops_nothing_else(recall: Recall, shelf: CollectionId) -> None:
    job, (bad, good) = await taken_in(
        recall, shelf, NewDocument(name="bad", text=""), NewDocument(name="good", text="apples")
    )

    assert (job.status, job.total, job.done, job.failed) == ("completed", 2, 1, 1)
    assert [(each.name, each.document, each.fault) for each in job.failures] == [("bad", bad.id, bad.fault)]
    assert (bad.status, good.status) == ("failed", "completed")
    assert bad.fault is not None
    assert bad.fault.code == "empty"
    again = await recall.jobs.retry(LOCAL_TENANT, job.id)
    assert (again.id != job.id, again.total) == (True, 1)


async def test_a_job_without_failures_has_nothing_to_retry(recall: Recall, shelf: CollectionId) -> None:
    job, _ = await taken_in(recall, shelf, NewDocument(name="a.txt", text="apples"))
    with pytest.raises(Conflict):
        await recall.jobs.retry(LOCAL_TENANT, job.id)


async def test_a_job_that_has_ended_stays_as_it_is_when_cancelled(
    recall: Recall, shelf: CollectionId
) -> None:
    job, _ = await taken_in(recall, shelf, NewDocument(name="a.txt", text="apples"))
    assert await recall.jobs.cancel(LOCAL_TENANT, job.id) == job
    assert await recall.jobs.list_all(LOCAL_TENANT) == [job]


async def test_a_document_that_has_ended_stays_as_it_is_when_cancelled(
    recall: Recall, shelf: CollectionId
) -> None:
    _, (document,) = await taken_in(recall, shelf, NewDocument(name="a.txt", text="apples"))
    assert await recall.documents.cancel(LOCAL_TENANT, document.id) == document


async def test_a_removed_document_does_not_exist(recall: Recall, shelf: CollectionId) -> None:
    _, (document,) = await taken_in(recall, shelf, NewDocument(name="a.txt", text="apples"))
    await recall.documents.remove(LOCAL_TENANT, document.id)

    for ask in (recall.documents.find, recall.documents.text, recall.documents.remove):
        with pytest.raises(NotFound):
            await ask(LOCAL_TENANT, document.id)
    assert await recall.documents.list_all(LOCAL_TENANT, shelf) == []


async def test_attributes_are_set_in_place_of_the_former_ones(recall: Recall, shelf: CollectionId) -> None:
    _, (document,) = await taken_in(
        recall, shelf, NewDocument(name="a.txt", text="apples", attributes={"year": 2020})
    )
    changed = await recall.documents.change_attributes(LOCAL_TENANT, document.id, {"is_ripe": True})

    assert changed.attributes == {"is_ripe": True}
    assert (await recall.documents.find(LOCAL_TENANT, document.id)).attributes == {"is_ripe": True}


async def test_what_belongs_to_another_tenant_does_not_exist(recall: Recall, shelf: CollectionId) -> None:
    job, (document,) = await taken_in(recall, shelf, NewDocument(name="a.txt", text="apples"))

    with pytest.raises(NotFound):
        await recall.documents.add(OTHER, shelf, [NewDocument(name="a.txt", text="apples")])
    for find in (recall.documents.find, recall.documents.text, recall.documents.cancel):
        with pytest.raises(NotFound):
            await find(OTHER, document.id)
    for ask in (recall.jobs.find, recall.jobs.cancel, recall.jobs.retry):
        with pytest.raises(NotFound):
            await ask(OTHER, job.id)
    assert await recall.jobs.list_all(OTHER) == []


async def test_what_is_not_there_is_not_found(recall: Recall, shelf: CollectionId) -> None:
    with pytest.raises(NotFound):
        await recall.documents.find(LOCAL_TENANT, DocumentId("doc_999999"))
    with pytest.raises(NotFound):
        await recall.jobs.wait(LOCAL_TENANT, JobId("job_999999"), 1)
    with pytest.raises(NotFound):
        await recall.documents.add(LOCAL_TENANT, CollectionId("vs_999999"), [])
