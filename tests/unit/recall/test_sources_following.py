"""Who is looked at when: due, asked for, paused, removed, watched, and after a restart."""

from pathlib import Path

import anyio
import pytest

from runtime.core.errors import Conflict, NotFound, RequestInvalid
from runtime.core.ids import LOCAL_TENANT, SourceId, TenantId
from runtime.core.knowledge import NewSource, Source
from runtime.core.recall_facts import RecallForgotten
from tests.kit.clock import FakeClock
from tests.kit.ingest_stage import LIMIT_S
from tests.kit.scripted_origin import ScriptedOrigin
from tests.kit.sources_stage import SITE, SourcesStage, open_sources, until

OTHER = TenantId("other")


def _origin(**pages: str) -> ScriptedOrigin:
    origin = ScriptedOrigin()
    origin.pages = {f"{SITE}{name}": text for name, text in pages.items()}
    return origin


async def _begin(stage: SourcesStage, uri: str = SITE) -> Source:
    return await stage.sources.add(LOCAL_TENANT, await stage.collection(), NewSource(uri=uri))


async def _looks(stage: SourcesStage, count: int) -> None:
    """Wait until so many looks have begun."""
    await until(lambda: len(stage.origin.looks) >= count)


async def _synced(stage: SourcesStage, count: int) -> None:
    """Wait until so many syncs have ended."""
    await until(lambda: len(stage.synced()) >= count)


async def test_a_place_is_looked_at_again_when_it_is_due_and_not_before(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        source = await stage.follow(interval_s=600.0)
        stage.clock.advance(599)
        stage.sources.wake()
        await anyio.wait_all_tasks_blocked()
        assert len(stage.origin.looks) == 1
        stage.clock.advance(1)
        stage.sources.wake()
        await _synced(stage, 2)

        assert (await stage.find(source.id)).next_at == stage.clock.now() + 600


async def test_two_places_at_most_are_looked_at_side_by_side(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        stage.origin.gate = anyio.Event()
        sources = [await _begin(stage, f"{SITE}{number}") for number in range(5)]
        await _looks(stage, 2)
        await anyio.wait_all_tasks_blocked()
        assert stage.origin.at_once == 2
        stage.origin.gate.set()
        for each in sources:
            await stage.over(each.job)
        await _synced(stage, 5)

        assert stage.origin.most_at_once == 2
        assert len(stage.origin.looks) == 5


async def test_asking_many_times_at_once_begins_one_sync(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        source = await stage.follow()
        jobs: set[str] = set()

        async def _ask() -> None:
            jobs.add((await stage.sources.sync(LOCAL_TENANT, source.id)).id)

        stage.origin.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(_ask)
        stage.origin.gate.set()
        await _synced(stage, 2)

        assert len(jobs) == 1
        assert len(stage.origin.looks) == 2


async def test_what_is_paused_is_looked_at_only_when_asked_and_resuming_looks_at_once(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        source = await stage.follow()
        paused = await stage.sources.pause(LOCAL_TENANT, source.id, is_paused=True)
        stage.clock.advance(100_000)
        stage.sources.wake()
        await anyio.wait_all_tasks_blocked()
        assert (paused.is_paused, paused.next_at, len(stage.origin.looks)) == (True, None, 1)
        await stage.sync(source.id)
        await _synced(stage, 2)
        assert (await stage.find(source.id)).next_at is None
        await stage.sources.pause(LOCAL_TENANT, source.id, is_paused=False)
        await _synced(stage, 3)

        assert (await stage.find(source.id)).next_at == stage.clock.now() + 3600


async def test_pausing_cuts_a_look_short_and_what_it_found_is_taken_in(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        stage.origin.gate = anyio.Event()
        source = await _begin(stage)
        with anyio.fail_after(LIMIT_S):
            await stage.origin.at_work.wait()
        await stage.sources.pause(LOCAL_TENANT, source.id, is_paused=True)
        job = await stage.over(source.job)

        assert job.status == "completed"
        assert await stage.texts() == ["Bees fly"]


@pytest.mark.parametrize("is_keeping", [True, False])
async def test_removing_keeps_the_documents_or_removes_them(tmp_path: Path, is_keeping: bool) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        source = await stage.follow()
        await stage.sources.remove(LOCAL_TENANT, source.id, is_keeping_documents=is_keeping)
        documents = await stage.stage.ingestion.documents.list_all(LOCAL_TENANT, source.collection)
        forgotten = [fact for fact, _ in stage.stage.facts if isinstance(fact, RecallForgotten)]

        assert len(documents) == (2 if is_keeping else 0)
        assert {each.source for each in documents} <= {None}
        assert [each.documents for each in forgotten] == ([] if is_keeping else [2])
        assert await stage.stage.count("source_entry") == 0
        with pytest.raises(NotFound):
            await stage.find(source.id)
        await stage.stage.check()


async def test_removing_in_the_middle_of_a_look_leaves_nothing_behind(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        stage.origin.gate = anyio.Event()
        source = await _begin(stage)
        with anyio.fail_after(LIMIT_S):
            await stage.origin.at_work.wait()
            await stage.sources.remove(LOCAL_TENANT, source.id, is_keeping_documents=False)
        await stage.over(source.job)

        assert await stage.texts() == []
        assert await stage.stage.count("source_entry") == 0
        assert await stage.sources.list_all(LOCAL_TENANT) == []


async def test_a_document_that_two_places_have_goes_with_the_last_of_them(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        one = await stage.follow(f"{SITE}a")
        two = await stage.follow(f"{SITE}b")
        assert (one.documents, two.documents) == (1, 1)
        await stage.sources.remove(LOCAL_TENANT, one.id, is_keeping_documents=False)
        assert await stage.texts() == ["Bees fly"]
        await stage.sources.remove(LOCAL_TENANT, two.id, is_keeping_documents=False)

        assert await stage.texts() == []


async def test_a_collection_takes_its_sources_and_their_syncs_with_it(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        stage.origin.gate = anyio.Event()
        source = await _begin(stage)
        with anyio.fail_after(LIMIT_S):
            await stage.origin.at_work.wait()
            await stage.collections.remove(LOCAL_TENANT, source.collection)
        await until(lambda: not stage.origin.at_once)

        assert (await stage.over(source.job)).status == "cancelled"
        for table in ("source", "source_entry", "document", "work"):
            assert await stage.stage.count(table) == 0


async def test_a_place_is_followed_once_in_a_collection(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        source = await stage.follow()
        with pytest.raises(Conflict, match=source.id):
            await _begin(stage, SITE.replace("docs.example", "DOCS.example"))
        elsewhere = await stage.sources.add(
            LOCAL_TENANT, await stage.collection("others"), NewSource(uri=SITE)
        )

        assert [each.id for each in await stage.sources.list_all(LOCAL_TENANT)] == [source.id, elsewhere.id]
        assert await stage.sources.list_all(LOCAL_TENANT, source.collection) == [source]
        await stage.over(elsewhere.job)


async def test_what_this_machine_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    async with open_sources(tmp_path) as stage:
        with pytest.raises(RequestInvalid) as folder:
            await _begin(stage, str(tmp_path / "none"))
        new = NewSource(uri=SITE, secret="NO_TOKEN")
        with pytest.raises(RequestInvalid) as token:
            await stage.sources.add(LOCAL_TENANT, await stage.collection(), new)

        assert (folder.value.fault.param, token.value.fault.param) == ("uri", "secret")
        assert await stage.sources.list_all(LOCAL_TENANT) == []


async def test_sources_of_others_do_not_exist(tmp_path: Path) -> None:
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        source = await stage.follow()
        assert await stage.sources.list_all(OTHER) == []
        for call in (
            stage.sources.find(OTHER, source.id),
            stage.sources.sync(OTHER, source.id),
            stage.sources.pause(OTHER, source.id, is_paused=True),
            stage.sources.remove(OTHER, source.id, is_keeping_documents=False),
            stage.sources.add(OTHER, source.collection, NewSource(uri=f"{SITE}x")),
            stage.sources.find(LOCAL_TENANT, SourceId("src_none")),
        ):
            with pytest.raises(NotFound):
                await call
        assert [each.id for each in await stage.sources.list_all(LOCAL_TENANT)] == [source.id]


async def test_a_folder_is_synced_soon_after_a_change_unless_it_is_paused(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        source = await stage.follow(str(folder))
        assert source.kind == "folder"
        await until(lambda: folder in stage.watch.watched)
        stage.watch.change()
        await _synced(stage, 2)
        await stage.sources.pause(LOCAL_TENANT, source.id, is_paused=True)
        await until(lambda: not stage.watch.watched)
        await stage.sources.pause(LOCAL_TENANT, source.id, is_paused=False)
        await _synced(stage, 3)
        await until(lambda: folder in stage.watch.watched)
        await stage.sources.remove(LOCAL_TENANT, source.id, is_keeping_documents=True)
        await until(lambda: not stage.watch.watched)


async def test_a_change_during_a_look_makes_another_one_follow(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    async with open_sources(tmp_path, origin=_origin(one="Bees fly")) as stage:
        await stage.follow(str(folder))
        gate = stage.origin.gate = anyio.Event()
        await until(lambda: folder in stage.watch.watched)
        stage.watch.change()
        await _looks(stage, 2)
        stage.watch.change()
        await anyio.wait_all_tasks_blocked()
        stage.origin.pages = {f"{SITE}one": "Bees sleep"}
        gate.set()
        await _synced(stage, 3)

        assert len(stage.origin.looks) == 3


async def test_a_restart_keeps_all_and_looks_at_what_was_missed_once_spread_out(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_sources(tmp_path, clock=clock, origin=_origin(one="Bees fly")) as stage:
        followed = [await stage.follow(f"{SITE}{number}") for number in range(3)]
        paused = await stage.follow(f"{SITE}paused")
        await stage.sources.pause(LOCAL_TENANT, paused.id, is_paused=True)
    clock.advance(100_000)
    async with open_sources(tmp_path, clock=clock, origin=_origin(one="Bees fly")) as stage:
        listed = await stage.sources.list_all(LOCAL_TENANT)
        due = [each.next_at for each in listed if each.next_at is not None]
        assert [each.id for each in listed] == [*(each.id for each in followed), paused.id]
        assert [each.documents for each in listed] == [1, 1, 1, 1]
        assert due == [clock.now() + 2.5, clock.now() + 7.5, clock.now() + 12.5]
        assert stage.origin.looks == []
        clock.advance(3)
        stage.sources.wake()
        await _synced(stage, 1)
        clock.advance(10)
        stage.sources.wake()
        await _synced(stage, 3)

        looks = [each.uri for each in stage.origin.looks]
        assert looks[0] == followed[0].uri
        assert sorted(looks) == [each.uri for each in followed]


async def test_a_sync_that_a_stop_cut_off_ends_as_interrupted_and_is_done_again_soon(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_sources(tmp_path, clock=clock, origin=_origin(one="Bees fly", two="Owls see")) as stage:
        source = await stage.follow()
        stage.origin.pages[f"{SITE}one"] = "Bees sleep"
        stage.origin.gate, stage.origin.at_work = anyio.Event(), anyio.Event()
        cut = await stage.sources.sync(LOCAL_TENANT, source.id)
        with anyio.fail_after(LIMIT_S):
            await stage.origin.at_work.wait()
    (tmp_path / "looks" / "left").mkdir()
    origin = _origin(one="Bees sleep", two="Owls hear")
    async with open_sources(tmp_path, clock=clock, origin=origin) as stage:
        assert not [*(tmp_path / "looks").iterdir()]
        ended = await stage.over(cut.id)
        assert (ended.status, ended.fault is not None) == ("failed", True)
        assert (await stage.find(source.id)).next_at == clock.now() + 2.5
        clock.advance(5)
        stage.sources.wake()
        await _synced(stage, 1)
        await stage.over((await stage.jobs())[0].id)

        assert await stage.texts() == ["Bees sleep", "Owls hear"]
        assert origin.known[0][f"{SITE}one"].document is not None
        await stage.stage.check()
