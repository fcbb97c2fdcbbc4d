"""One suite for `core.recall.Sources`: the real one and the one that tests of the faces use."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.core.errors import Conflict, NotFound, RequestInvalid
from runtime.core.ids import CollectionId, SourceId, TenantId
from runtime.core.knowledge import NewCollection, NewSource, Source
from runtime.core.recall import Recall
from tests.kit.clock import FakeClock
from tests.kit.fake_recall import fake_recall
from tests.kit.real_recall import real_recall

ADA, BOB = TenantId("ada"), TenantId("bob")
PAGE = "https://docs.example/guide"


@pytest.fixture(params=["real", "fake"])
async def recall(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Recall]:
    if request.param == "fake":
        yield fake_recall(tmp_path, FakeClock())[0]
    else:
        async with real_recall(tmp_path, FakeClock()) as real:
            yield real


async def _collection(recall: Recall, tenant: TenantId = ADA) -> CollectionId:
    return (await recall.collections.create(tenant, NewCollection(name="papers"))).id


async def _follow(recall: Recall, collection: CollectionId, **told: Any) -> Source:
    source = await recall.sources.add(ADA, collection, NewSource(**({"uri": PAGE} | told)))
    if source.job is not None:
        await recall.jobs.wait(ADA, source.job, 30.0)
    return await recall.sources.find(ADA, source.id)


async def test_what_is_followed_is_listed_by_creation_and_found(recall: Recall) -> None:
    collection = await _collection(recall)
    one = await _follow(recall, collection)
    two = await _follow(recall, collection, uri=f"{PAGE}.git", interval_s=600.0)

    assert await recall.sources.list_all(ADA) == [one, two]
    assert await recall.sources.list_all(ADA, collection) == [one, two]
    assert (one.kind, one.uri, one.interval_s, one.is_paused) == ("page", PAGE, 3600.0, False)
    assert (two.kind, two.interval_s, two.collection, two.documents) == ("git", 600.0, collection, 0)
    assert one.next_at is not None


async def test_the_first_sync_begins_at_once_and_another_when_asked(recall: Recall) -> None:
    source = await _follow(recall, await _collection(recall))
    job = await recall.sources.sync(ADA, source.id)
    ended = await recall.jobs.wait(ADA, job.id, 30.0)
    syncs = [each for each in await recall.jobs.list_all(ADA) if each.kind == "sync"]

    assert ended.finished_at is not None or ended.status == "completed"
    assert [each.source for each in syncs] == [source.id, source.id]
    assert syncs[0].id == job.id


async def test_a_place_is_followed_once_in_a_collection(recall: Recall) -> None:
    collection = await _collection(recall)
    await _follow(recall, collection)

    with pytest.raises(Conflict):
        await _follow(recall, collection)


@pytest.mark.parametrize(
    ("told", "param"),
    [
        ({"uri": "ftp://docs.example"}, "uri"),
        ({"uri": "https://me:word@docs.example"}, "uri"),
        ({"kind": "folder"}, "kind"),
        ({"branch": "main"}, "branch"),
        ({"secret": "NO_SUCH_VARIABLE_OF_LAR"}, "secret"),
    ],
)
async def test_what_cannot_be_followed_is_refused_by_its_field(
    recall: Recall, told: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        await _follow(recall, await _collection(recall), **told)

    assert refused.value.fault.param == param
    assert await recall.sources.list_all(ADA) == []


async def test_pausing_and_resuming_are_shown(recall: Recall) -> None:
    source = await _follow(recall, await _collection(recall))
    paused = await recall.sources.pause(ADA, source.id, is_paused=True)
    resumed = await recall.sources.pause(ADA, source.id, is_paused=False)

    assert (paused.is_paused, paused.next_at) == (True, None)
    assert (resumed.is_paused, resumed.next_at is not None) == (False, True)


async def test_what_is_removed_is_gone_and_so_is_what_was_in_a_removed_collection(recall: Recall) -> None:
    collection = await _collection(recall)
    one, two = await _follow(recall, collection), await _follow(recall, collection, uri=f"{PAGE}/two")
    await recall.sources.remove(ADA, one.id, is_keeping_documents=True)
    assert [each.id for each in await recall.sources.list_all(ADA)] == [two.id]
    await recall.collections.remove(ADA, collection)

    assert await recall.sources.list_all(ADA) == []
    with pytest.raises(NotFound):
        await recall.sources.find(ADA, two.id)


async def test_what_belongs_to_another_tenant_does_not_exist(recall: Recall) -> None:
    collection = await _collection(recall)
    source = await _follow(recall, collection)
    assert await recall.sources.list_all(BOB) == []
    calls = (
        recall.sources.add(BOB, collection, NewSource(uri=PAGE)),
        recall.sources.list_all(BOB, collection),
        recall.sources.find(BOB, source.id),
        recall.sources.sync(BOB, source.id),
        recall.sources.pause(BOB, source.id, is_paused=True),
        recall.sources.remove(BOB, source.id, is_keeping_documents=False),
        recall.sources.find(ADA, SourceId("src_none")),
    )
    for call in calls:
        with pytest.raises(NotFound), anyio.fail_after(10):
            await call
